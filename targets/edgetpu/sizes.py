"""Sizes of an operator that decide whether the Edge TPU takes it: a function per size.

`edgekit.targets.edgetpu.operators` has the table of which were seen mapped, and which left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.errors import UsageError
from edgekit.targets.edgetpu.limits import axes_of, input_of, inputs_of, output_of, permuted


@dataclass(frozen=True)
class Size:
    """A size of an operator that decides.

    Attributes:
        number: what is compared.
        text: the operator's size in words.
    """

    number: float
    text: str


def averaged_positions(model: TFLiteModel, op: Operator) -> Size | None:
    """Positions, height times width, of a map whose mean over both is taken."""
    tensor = input_of(model, op)
    if tensor is None or len(tensor.shape) != 4 or not {1, 2} <= {*axes_of(model, op)}:
        return None
    height, width = tensor.shape[1:3]
    return Size(height * width, f"it averages {height} x {width} = {height * width:,} positions")


def resized_positions(model: TFLiteModel, op: Operator) -> Size | None:
    """Positions of a resized map."""
    made = output_of(model, op)
    if made is None or len(made.shape) != 4:
        return None
    height, width = made.shape[1:3]
    return Size(height * width, f"it resizes to {height} x {width} = {height * width:,} positions")


def resize_factor(model: TFLiteModel, op: Operator) -> Size | None:
    """How many times larger the longer-growing side of a resized map becomes."""
    source, made = input_of(model, op), output_of(model, op)
    if source is None or made is None or len(source.shape) != 4 or len(made.shape) != 4:
        return None
    factor = max(b / max(a, 1) for a, b in zip(source.shape[1:3], made.shape[1:3], strict=True))
    sides = f"{list(source.shape[1:3])} to {list(made.shape[1:3])}"
    return Size(factor, f"it resizes {sides}, by {factor:.4g}")


def permuted_elements(model: TFLiteModel, op: Operator) -> Size | None:
    """Elements that a transpose moves; one that only moves sizes of 1 is a reshape."""
    inputs = inputs_of(model, op)
    try:
        order, moved = permuted(inputs)
    except (UsageError, IndexError):
        return None
    if moved == sorted(moved):
        return None
    count, shape = math.prod(inputs[0].shape), list(inputs[0].shape)
    return Size(count, f"it permutes {shape} = {count:,} elements by {order}")


def softmax_elements(model: TFLiteModel, op: Operator) -> Size | None:
    """Elements of a softmax, rows and all."""
    tensor = input_of(model, op)
    if tensor is None:
        return None
    count = math.prod(tensor.shape)
    return Size(count, f"its input has {count:,} elements")
