"""Object detection: EfficientDet over a backbone's maps, and what makes boxes of its outputs."""
