"""Weights of others in, model files out."""
