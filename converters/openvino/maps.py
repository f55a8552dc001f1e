"""OpenVINO operators of whole maps: concatenated, resized, pooled, turned into rows, and others."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from edgekit.converters.resizes import class_dtype, divides_alike
from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import nearest_places

#: By method: the mode of Interpolate, and how it finds the places of pixels.
RESIZES = {
    "nearest": ("nearest", "asymmetric"),
    "bilinear-corners": ("linear_onnx", "align_corners"),
    "bilinear-half-pixel": ("linear_onnx", "half_pixel"),
}
_AXES = np.array([2, 3], np.int64)


class Walk(Protocol):
    """What builds operators.

    Attributes:
        ops: an opset.
        graph: the network.
    """

    ops: Any
    graph: Graph


def concat(walk: Walk, node: nodes.Concat, inputs: list[Any]) -> Any:
    """Concatenates maps along their channels, or rows one after the other."""
    return walk.ops.concat(inputs, 1)


def max_pool(walk: Walk, node: nodes.MaxPool2D, inputs: list[Any]) -> Any:
    """Takes the largest value of each window; what it pads with is never the largest."""
    from openvino import opset1  # later ones give the places, too

    pads = [node.pads(side) for side in walk.graph.shapes[node.inputs[0]][:2]]
    before, after = zip(*pads, strict=True)
    sides, strides = [node.kernel] * 2, [node.stride] * 2
    return opset1.max_pool(inputs[0], strides, before, after, sides, "floor")


def rows(walk: Walk, node: nodes.Rows, inputs: list[Any]) -> Any:
    """Turns a map into rows in the order of NHWC."""
    turned = walk.ops.transpose(inputs[0], np.array([0, 2, 3, 1], np.int64))
    shape = np.array([1, *walk.graph.shapes[node.name]], np.int64)
    return walk.ops.reshape(turned, shape, False)


def tile(walk: Walk, node: nodes.Tile, inputs: list[Any]) -> Any:
    """Repeats a pixel over a map."""
    return walk.ops.tile(inputs[0], np.array([1, 1, *node.size], np.int64))


def arg_max(walk: Walk, node: nodes.ArgMax, inputs: list[Any]) -> Any:
    """Numbers the highest channel of each pixel; of ties the lower one."""
    one = np.array(1, np.int64)
    highest = walk.ops.topk(
        inputs[0], one, 1, "max", "value", index_element_type="i64", stable=True
    )
    classes = walk.ops.convert(highest.output(1), "i32")
    return classes if node.keep_dims else walk.ops.squeeze(classes, np.array([1], np.int64))


def resize(walk: Walk, node: nodes.Resize, inputs: list[Any]) -> Any:
    """Resizes a map."""
    (value,) = inputs
    before = walk.graph.shapes[node.inputs[0]][:2]
    if node.name in walk.graph.class_tensors:
        dtype = class_dtype(walk.graph, node.name, "int32", "int32")
        value = walk.ops.convert(value, np.dtype(dtype).type)
    sides = list(zip(before, node.size, strict=True))
    if node.method == "nearest" and not all(divides_alike(*side) for side in sides):
        for axis, side in zip((2, 3), sides, strict=True):
            value = walk.ops.gather(value, nearest_places(*side), np.array(axis, np.int64))
        return value
    mode, places = RESIZES[node.method]
    return walk.ops.interpolate(
        value,
        np.array(node.size, np.int64),
        mode,
        "sizes",
        coordinate_transformation_mode=places,
        nearest_mode="floor",
        axes=_AXES,
    )
