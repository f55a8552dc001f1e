"""The Coral Edge TPU: what its compiler takes, makes and says."""
