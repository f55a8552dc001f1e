"""Rockchip's NPUs, by way of RKNN-Toolkit2: its compiler and its simulator."""
