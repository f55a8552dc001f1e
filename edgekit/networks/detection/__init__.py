"""Object detection: EfficientDet's weighted pyramid and heads over a backbone's maps."""
