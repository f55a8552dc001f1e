"""TensorFlow Lite for Microcontrollers: what a file needs there, and its own interpreter."""
