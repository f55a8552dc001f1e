"""Quantization parameters for a Graph: ranges, scales and zero points from calibration photos."""
