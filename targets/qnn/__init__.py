"""Snapdragon's Hexagon NPU, by way of Qualcomm's compiler and its emulation on x86-64."""
