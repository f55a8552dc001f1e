"""ONNX operators of whole maps: concatenated, resized, pooled, turned into rows, and others.

Resizes of a nearest pixel divide by the ratio of the sides in float32 where torch and TFLite
multiply (`edgekit.networks.nodes.nearest_places`). Where the two differ, the pixels are gathered.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from edgekit.converters.resizes import class_dtype, divides_alike
from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, nearest_places

#: By method: attributes of Resize.
RESIZES = {
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    },
    "bilinear-corners": {
        "mode": "linear",
        "coordinate_transformation_mode": "align_corners",
    },
    "bilinear-half-pixel": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}
#: The types of classes that ArgMax gives, and that Resize takes where a byte is too small.
CLASS_TYPES = ("int64", "int32")


class Writer(Protocol):
    """What a writer of operators offers."""

    graph: Graph
    batch: int | None

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Appends an operator; returns its output."""

    def constant(self, name: str, values: Array) -> str:
        """Stores a constant; returns its name."""

    def rounded(self, name: str, source: str, stage: str) -> str:
        """Rounds to a tensor's grid, where it has one; returns the reals."""


def add_concat(writer: Writer, node: nodes.Concat, inputs: list[str], output: str) -> str:
    """Concatenates maps along their channels, or rows one after the other."""
    return writer.add("Concat", inputs, output, axis=1)


def add_max_pool(writer: Writer, node: nodes.MaxPool2D, inputs: list[str], output: str) -> str:
    """Takes the largest value of each window; ONNX pads with nothing that could be it."""
    sides = writer.graph.shapes[node.inputs[0]][:2]
    (top, bottom), (left, right) = (node.pads(side) for side in sides)
    fields = {"kernel_shape": [node.kernel] * 2, "strides": [node.stride] * 2}
    return writer.add("MaxPool", inputs, output, **fields, pads=[top, left, bottom, right])


def add_rows(writer: Writer, node: nodes.Rows, inputs: list[str], output: str) -> str:
    """Turns a map into rows in the order of NHWC."""
    turned = writer.add("Transpose", inputs, f"{node.name}/turned", perm=[0, 2, 3, 1])
    # A runtime moves integers where what moves them is between two roundings of its own.
    turned = writer.rounded(node.name, turned, "map")
    sizes = [-1 if writer.batch is None else writer.batch, *writer.graph.shapes[node.name]]
    shape = writer.constant(f"{node.name}/shape", np.array(sizes, np.int64))
    return writer.add("Reshape", [turned, shape], output)


def add_tile(writer: Writer, node: nodes.Tile, inputs: list[str], output: str) -> str:
    """Repeats a pixel over a map."""
    repeats = writer.constant(f"{node.name}/repeats", np.array([1, 1, *node.size], np.int64))
    return writer.add("Tile", [*inputs, repeats], output)


def add_arg_max(writer: Writer, node: nodes.ArgMax, inputs: list[str], output: str) -> str:
    """Numbers the highest channel of each pixel."""
    return writer.add("ArgMax", inputs, output, axis=1, keepdims=int(node.keep_dims))


def add_resize(writer: Writer, node: nodes.Resize, inputs: list[str], output: str) -> str:
    """Resizes a map."""
    (value,), (source,) = inputs, node.inputs
    before = writer.graph.shapes[source][:2]
    if node.name in writer.graph.class_tensors:
        value = _cast(writer, node, value)
    sides = list(zip(before, node.size, strict=True))
    is_open = writer.batch is None  # then the sizes cannot be given: they begin with it
    ratios = [_ratio(*side) if is_open else None for side in sides]
    alike = all(divides_alike(*side, ratio) for side, ratio in zip(sides, ratios, strict=True))
    if node.method == "nearest" and not alike:
        return _gather(writer, node, value, output)
    attributes = RESIZES[node.method]
    if is_open:
        constant = writer.constant(f"{node.name}/scales", np.array([1, 1, *ratios], np.float32))
        return writer.add("Resize", [value, "", constant], output, **attributes)
    channels = writer.graph.shapes[node.name][2]
    sizes = np.array([writer.batch, channels, *node.size], np.int64)
    constant = writer.constant(f"{node.name}/sizes", sizes)
    return writer.add("Resize", [value, "", "", constant], output, **attributes)


def _cast(writer: Writer, node: nodes.Resize, value: str) -> str:
    """Classes in the type that they are resized in."""
    from onnx import TensorProto

    if not isinstance(writer.graph.node(node.inputs[0]), nodes.ArgMax):
        return value
    dtype = class_dtype(writer.graph, node.name, *CLASS_TYPES)
    to = {"uint8": TensorProto.UINT8, "int32": TensorProto.INT32}[dtype]
    return writer.add("Cast", [value], f"{node.name}/{dtype}", to=to)


def _gather(writer: Writer, node: nodes.Resize, value: str, output: str) -> str:
    before = writer.graph.shapes[node.inputs[0]][:2]
    for axis, what in ((2, "rows"), (3, "columns")):
        places = nearest_places(before[axis - 2], node.size[axis - 2])
        constant = writer.constant(f"{node.name}/{what}", places)
        name = output if axis == 3 else f"{node.name}/resized_{what}"
        value = writer.add("Gather", [value, constant], name, axis=axis)
    return value


def _ratio(before: int, after: int) -> np.float32:
    """The least number of at least ``after / before`` with which a side becomes ``after``."""
    ratio = np.float32(after) / np.float32(before)
    while int(before * float(ratio)) < after:
        ratio = np.nextafter(ratio, np.float32(np.inf))
    return ratio
