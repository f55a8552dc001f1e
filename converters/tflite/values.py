"""What a .tflite file is put together from, before it is packed: tensors and operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.converters.tflite.file import schema
from edgekit.networks.graph import QuantParams
from edgekit.networks.nodes import Array, Shape

#: What is added to the name of a tensor for its values in another type inside the file.
IN_FLOAT, BEFORE, PADDED = "_dequantized", "_float", "_padded"
#: As uint8; without an axis of length 1; in the scale of the tensor named behind it.
IN_BYTES, FLAT, FOR = "_bytes", "_flat", "_for_"


@dataclass(frozen=True, kw_only=True)
class Value:
    """A tensor of the file.

    Attributes:
        name: unique in the file.
        shape: as stored, with the batch.
        dtype: a numpy name.
        params: how its integers stand for reals; None of floats and sizes.
        axis: of the channels, where it has a scale for each.
        data: makes the numbers of a constant, in its shape and type; None of an activation.
    """

    name: str
    shape: Shape
    dtype: str
    params: QuantParams | None = None
    axis: int = 0
    data: Callable[[], Array] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that a constant takes; 0 for an activation."""
        if self.data is None:
            return 0
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operator of the file.

    Attributes:
        operator: the schema's name such as "CONV_2D", or that of a custom operator.
        version: the lowest that knows these types.
        inputs: in the operator's order.
        output: what it writes.
        options: the schema's table of options, the bytes of a custom operator's, or None.
        more: what it writes behind that.
    """

    operator: str
    version: int
    inputs: tuple[Value, ...]
    output: Value
    options: Any = None
    more: tuple[Value, ...] = ()

    @property
    def outputs(self) -> tuple[Value, ...]:
        """All that it writes, in the operator's order."""
        return (self.output, *self.more)


@dataclass(frozen=True)
class Operations:
    """A whole network as operators.

    Attributes:
        steps: in the order of execution.
        source: the file's input.
        results: the file's outputs in their order, by what the file's signature calls them: as the
            network does, but for boxes.
    """

    steps: tuple[Operation, ...]
    source: Value
    results: Mapping[str, Value]


def in_type(value: Value, dtype: str, suffix: str) -> Value:
    """A tensor with the same values in another type, under another name."""
    params = value.params
    if dtype == "float32" or params is None:
        params = None
    elif dtype == "uint8":
        shifted = tuple(zero_point + 128 for zero_point in params.zero_point)
        params = replace(params, dtype=dtype, zero_point=shifted)
    return Value(name=f"{value.name}{suffix}", shape=value.shape, dtype=dtype, params=params)


def constant(name: str, array: Array) -> Value:
    """Sizes or axes that an operator reads."""
    return Value(name=name, shape=array.shape, dtype=str(array.dtype), data=lambda: array)


def make_options(name: str, fields: Mapping[str, Any]) -> Any:
    """One of the schema's tables of options, with its defaults where no field is given."""
    options = getattr(schema(), f"{name}T")()
    for key, value in fields.items():
        setattr(options, key, value)
    return options


def tensor_type(dtype: str) -> int:
    """The schema's number of a type."""
    return int(getattr(schema().TensorType, dtype.upper()))


def type_of_version(
    operator: str, reads: Sequence[Value], output: Value, fields: Mapping[str, Any]
) -> str:
    """What decides an operator's version: the key of its row in `VERSIONS`."""
    kind = reads[0].dtype
    if kind != "int16" and operator == "RESIZE_BILINEAR" and fields["halfPixelCenters"]:
        return "half pixel"
    if kind == "float32" and len(reads) > 1 and reads[1].params is not None:
        return "dynamic" if reads[1].params.axis is None else "dynamic per channel"
    if kind == "float32" and operator == "DEPTHWISE_CONV_2D" and fields["dilationWFactor"] > 1:
        return "float32 dilated"
    if operator == "MUL" and kind == "int8":
        scales = [value.params.scale[0] for value in (*reads, output) if value.params]
        if scales[0] * scales[1] >= scales[2]:
            return "int8 that grows"
    return kind
