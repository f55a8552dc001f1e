"""Makers' tools: what they are, where they are installed, and how work is done in them."""
