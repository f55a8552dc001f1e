"""Measures a model file on a device, in a process that may fail."""
