"""Weights on a model hub: how they are named, which are known, and how they are received."""
