"""Weights of other libraries, read strictly."""
