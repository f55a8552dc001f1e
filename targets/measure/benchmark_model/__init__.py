"""Measures with TensorFlow Lite's benchmark_model, for devices without Python."""
