"""edgekit: an EfficientNet from images to a verified model on an edge device."""

from __future__ import annotations

__version__ = "0.1.0"
