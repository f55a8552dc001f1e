"""TFLite's operators of whole maps in numpy integers, each equal to LiteRT's bit by bit.

RESIZE_BILINEAR of int8 computes places and weights in steps of 1/1024 of a pixel, and rounds ties
away from the integer zero, whatever the zero point (``ResizeBilinear`` in
tensorflow/lite/kernels/internal/reference/resize_bilinear.h). Far from the first pixel such a
place is off by up to half a step for each pixel on the way. XNNPACK's kernel finds the places in
float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.converters.tflite.file import Operator, Tensor
from edgekit.errors import UsageError
from edgekit.networks.nodes import nearest_places

Array: TypeAlias = NDArray[Any]

#: Steps of a pixel in which RESIZE_BILINEAR counts, as a power of two.
PLACE_BITS = 10
#: Steps of XNNPACK's weights, likewise.
XNNPACK_BITS = 11


def concatenate(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    """CONCATENATION of what has one scale."""
    if {(tensor.scale, tensor.zero_point) for tensor in tensors} != {
        (output.scale, output.zero_point)
    }:
        raise UsageError(f"{op.index} {op.name} has inputs of other scales than its output's")
    return np.concatenate(arrays, op.options["axis"])


def tile(op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]) -> Array:
    """TILE, of each item of the batch alone."""
    return np.tile(arrays[0], (1, *(int(n) for n in arrays[1][1:])))


def arg_max(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    """ARG_MAX; of ties the first."""
    highest = arrays[0].argmax(int(arrays[1].reshape(-1)[0]))
    return np.asarray(highest.astype(output.dtype))


def cast(op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]) -> Array:
    """CAST between integers."""
    return arrays[0].astype(output.dtype)


def resize_nearest(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    """RESIZE_NEAREST_NEIGHBOR with neither flag."""
    if op.options["align_corners"] or op.options["half_pixel_centers"]:
        raise UsageError(f"no integer kernel for {op.index} {op.name} with a flag")
    x = arrays[0]
    rows, columns = (nearest_places(x.shape[i], output.shape[i]) for i in (1, 2))
    return x[:, rows][:, :, columns]


def resize_bilinear(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    """RESIZE_BILINEAR of int8, with any flag."""
    sides = [_places(op, arrays[0].shape[axis], output.shape[axis]) for axis in (1, 2)]
    x = _interpolate(arrays[0], sides, PLACE_BITS)
    half = 1 << (2 * PLACE_BITS - 1)
    sums = np.where(x > 0, x + half, x - half)
    rounded = np.sign(sums) * (np.abs(sums) >> (2 * PLACE_BITS))
    return np.asarray(rounded.astype(output.dtype))


def resize_bilinear_of_xnnpack(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    """RESIZE_BILINEAR of int8 as XNNPACK computes it: ties up.

    Places are float32 numbers, weights multiples of 2**-11 (src/indirection.c and src/s8-ibilinear
    of google/XNNPACK).
    """
    sides = [_xnnpack_places(op, arrays[0].shape[axis], output.shape[axis]) for axis in (1, 2)]
    x = _interpolate(arrays[0], sides, XNNPACK_BITS)
    half = 1 << (2 * XNNPACK_BITS - 1)
    return np.asarray(((x + half) >> (2 * XNNPACK_BITS)).astype(output.dtype))


def _interpolate(x: Array, sides: Sequence[tuple[Array, Array, Array]], bits: int) -> Array:
    """Weighted sums of four pixels, in steps of ``4**-bits``, int64."""
    x = x.astype(np.int64)
    for axis, (lower, upper, weight) in enumerate(sides, 1):
        weight = weight.reshape(-1, *[1] * (3 - axis))
        below, above = x.take(lower, axis), x.take(upper, axis)
        x = (below << bits) + (above - below) * weight
    return x


def _xnnpack_places(op: Operator, before: int, after: int) -> tuple[Array, Array, Array]:
    """As `_places`, for XNNPACK's weights."""
    corners = int(op.options["align_corners"] and after > 1)
    ratio = np.float32(before - corners) / np.float32(after - corners)
    at = np.arange(after, dtype=np.float32) * ratio
    if op.options["half_pixel_centers"]:
        at += np.float32(0.5) * ratio - np.float32(0.5)
    at = at.clip(0, np.float32(before - 1))
    lower = at.astype(np.int64)
    weight = np.rint((at - lower.astype(np.float32)) * np.float32(1 << XNNPACK_BITS))
    return lower, np.minimum(lower + 1, before - 1), weight.astype(np.int64)


def _places(op: Operator, before: int, after: int) -> tuple[Array, Array, Array]:
    """The pixels on both sides of each pixel of a resized line, and the weight of the second."""
    one = 1 << PLACE_BITS
    if op.options["align_corners"] and after > 1:
        step = (one * (before - 1) + (after - 1) // 2) // (after - 1)
    else:
        step = (one * before + after // 2) // after
    at = np.arange(after, dtype=np.int64) * step
    if op.options["half_pixel_centers"]:
        at += step // 2 - one // 2
    # C++ divides towards zero.
    lower = np.maximum(np.sign(at) * (np.abs(at) // one), 0)
    above = at + one - 1
    upper = np.minimum(np.sign(above) * (np.abs(above) // one), before - 1)
    return lower, upper, at - one * lower
