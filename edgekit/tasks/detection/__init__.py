"""Object detection: boxes with classes, from offsets and logits at anchors."""
