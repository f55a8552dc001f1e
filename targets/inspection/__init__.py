"""What a model file is, and what is wrong with it."""
