"""What the operating system, the network and the terminal offer, behind plain functions."""
