"""How fast model files are: side by side on this host, and on devices."""
