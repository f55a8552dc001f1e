"""Nearest resizes in the words that the converter to TOSA understands.

The converter (tosa-converter-for-tflite 2026.5) rounds the place of a pixel to the nearest where
TFLite takes the one below, unless centres of pixels are half a pixel in. Where both name the same
pixels, which they do where a side is doubled, the operator is written with half pixels for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.converters.tflite.file import MAGIC, parse, schema
from edgekit.networks.nodes import nearest_places

NEAREST = "RESIZE_NEAREST_NEIGHBOR"


def with_half_pixels(contents: bytes) -> bytes:
    """A .tflite file that computes the same, with half pixels in its nearest resizes where it may.

    Raises:
        UsageError: the bytes are not TFLite, or damaged.
    """
    import flatbuffers

    read = parse(contents)
    chosen = [
        operator.index
        for operator in read.operators
        if operator.name == NEAREST
        and not operator.options["half_pixel_centers"]
        and not operator.options["align_corners"]
        and all(
            _are_same(before, after)
            for before, after in zip(
                read.tensors[operator.inputs[0]].shape[1:3],
                read.tensors[operator.outputs[0]].shape[1:3],
                strict=True,
            )
        )
    ]
    if not chosen:
        return contents
    model: Any = schema().ModelT.InitFromPackedBuf(contents, 0)
    for index in chosen:
        model.subgraphs[0].operators[index].builtinOptions.halfPixelCenters = True
    builder = flatbuffers.Builder(len(contents))
    builder.Finish(model.Pack(builder), MAGIC)
    return bytes(builder.Output())


def _are_same(before: int, after: int) -> bool:
    """Whether half pixels choose the same of ``before`` pixels for each of ``after``."""
    halves = np.floor((np.arange(after) + 0.5) * before / after).astype(np.int64)
    return bool((halves == np.asarray(nearest_places(before, after))).all())
