"""Semantic segmentation: decoders over the feature pyramid of a backbone."""
