"""Runs model files on this host, each kind in its runtime."""
