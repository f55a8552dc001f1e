"""Latencies of blocks on a device, and of networks as sums of them."""
