"""A tiny .tflite classifier with class names and a record of its preprocessing."""

from __future__ import annotations

from described import embed
from tiny_tflite import SIZE, TinyModel

from edgekit.data.preprocessing import Preprocessing

LABELS = ("a", "b", "c", "d", "e")
IMAGENET = Preprocessing(SIZE, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), LABELS)


def with_metadata(tiny: TinyModel, preprocessing: Preprocessing) -> bytes:
    """The file with both in it."""
    return embed(tiny.pack(), name="n", description="d", labels=LABELS, preprocessing=preprocessing)
