"""The bytes that a runtime gave for photos, as arrays, and the reals that these stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.answer import answers_of
from edgekit.converters.tflite.detections import find_post_process, output_shapes
from edgekit.converters.tflite.file import Tensor, TFLiteModel
from edgekit.errors import UsageError
from edgekit.runtimes.base import join_boxes


def answer_outputs(model: TFLiteModel) -> tuple[Tensor, ...]:
    """The first outputs of a model, as many as its answer is made of."""
    outputs = tuple(model.tensors[index] for index in model.outputs)
    boxes = find_post_process(model)
    if boxes is None:
        return answers_of(outputs)
    shapes = output_shapes(boxes)  # which files of other converters do not have
    return tuple(replace(end, shape=shapes.get(end.index, end.shape)) for end in outputs)


def raw_outputs(model: TFLiteModel, outputs: Sequence[bytes]) -> npt.NDArray[Any]:
    """The answer of a model for each photo as the runtime gave it.

    Returns:
        [n, classes], or of maps [n, height, width, classes] and [n, height, width], or of several
        outputs that are rows all columns, [n, rows, columns], or boxes, as
        `edgekit.runtimes.base.join_boxes` has them.

    Raises:
        UsageError: it holds no numbers.
    """
    ends = answer_outputs(model)
    if len(ends) > 1:
        each = [_divide(one, ends) for one in outputs]
        boxes = find_post_process(model)
        if boxes is None:
            return np.stack([np.concatenate([*one.values()], axis=-1)[0] for one in each])
        return np.stack([join_boxes(*(one[index][0] for index in boxes.outputs)) for one in each])
    (end,) = ends
    rows = np.stack([np.frombuffer(one, _dtype(end)) for one in outputs])
    shape, count = end.shape[1:], rows.shape[1]
    is_map = len(shape) > 1 and count == math.prod(shape) and max(shape) != count
    return rows.reshape(len(rows), *shape) if is_map else rows


def _divide(data: bytes, ends: Sequence[Tensor]) -> dict[int, npt.NDArray[Any]]:
    """What was written of several outputs, one behind the other, by the index of the tensor."""
    found, start = {}, 0
    for end in ends:
        count = math.prod(end.shape)
        values = np.frombuffer(data, _dtype(end), count, start)
        found[end.index] = values.reshape(end.shape)
        start += values.nbytes
    return found


def _dtype(output: Tensor) -> np.dtype[Any]:
    try:
        return np.dtype(output.dtype)
    except TypeError as error:
        raise UsageError(f"the model's output is {output.dtype}, which is not read") from error


def dequantize(model: TFLiteModel, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What raw outputs mean: (q - zero_point) * scale; of a map, classes as they are; or floats."""
    ends = answer_outputs(model)
    if find_post_process(model):
        return raw
    if len(ends) > 1:
        columns = [end.shape[-1] for end in ends]
        zeros = np.repeat(np.array([end.zero_point or 0 for end in ends], np.float32), columns)
        scales = np.repeat(np.array([end.scale or 1 for end in ends], np.float32), columns)
        return np.asarray((raw.astype(np.float32) - zeros) * scales)
    (output,) = ends
    if output.scale is None:
        is_classes = raw.ndim > 2 and raw.dtype.kind in "iu"
        return raw if is_classes else raw.astype(np.float32)
    steps = raw.astype(np.float32) - np.float32(output.zero_point or 0)
    return np.asarray(steps * np.float32(output.scale))
