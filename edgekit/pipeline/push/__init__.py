"""A run on a model hub: its card, its files, and the commit that they are."""
