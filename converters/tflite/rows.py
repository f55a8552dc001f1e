"""Which operator of a TFLite file a kind of node is, with its options and its constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.converters.tflite.detections import POST_PROCESS
from edgekit.converters.tflite.file import schema
from edgekit.converters.tflite.values import Value, constant
from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Node, SpatialNode, WindowNode, activation_of, row_of
from edgekit.networks.schemes import W8_DYNAMIC, scheme_of_node

#: The types of classes that ARG_MAX gives, and that a resize takes where a byte is too small.
CLASS_TYPES = ("int32", "int16")
FUSED = {"linear": "NONE", "relu": "RELU", "relu6": "RELU6"}

#: Name and fields of an operator's options.
Options = tuple[str, Mapping[str, Any]]


def _no_options(graph: Graph, node: Node) -> Options | None:
    return None


def _no_constants(graph: Graph, node: Node) -> tuple[Value, ...]:
    return ()


@dataclass(frozen=True)
class Row:
    """How a kind of node is written.

    Attributes:
        operator: the schema's name.
        options: of a node of that kind, for its types.
        more: constants that it reads behind the activations, without weights.
        instead: by types that it does not take, those in which it is given such values.
        variant: the operator of a node, where the kind has several.
    """

    operator: str
    options: Callable[[Graph, Any], Options | None] = _no_options
    more: Callable[[Graph, Any], tuple[Value, ...]] = _no_constants
    instead: Mapping[str, str] = field(default_factory=dict)
    variant: Callable[[Any], str] | None = None


def operator_of(node: Node) -> str:
    """The operator that a node is written as."""
    row = row_of(OPERATORS, node, "TFLite operator")
    return row.variant(node) if row.variant else row.operator


def _fused(node: Node) -> int:
    return int(getattr(schema().ActivationFunctionType, FUSED[activation_of(node)]))


def _padding(name: str) -> int:
    return int(getattr(schema().Padding, name))


def _padding_of(graph: Graph, node: WindowNode) -> int:
    return _padding("SAME" if graph.has_same_padding(node) else "VALID")


def _convolution(graph: Graph, node: SpatialNode) -> tuple[str, Mapping[str, Any]]:
    return "Conv2DOptions", {
        "padding": _padding_of(graph, node),
        "strideW": node.stride,
        "strideH": node.stride,
        "dilationWFactor": node.dilation,
        "dilationHFactor": node.dilation,
        "fusedActivationFunction": _fused(node),
    }


def _depthwise(graph: Graph, node: nodes.DepthwiseConv2D) -> tuple[str, Mapping[str, Any]]:
    _, fields = _convolution(graph, node)
    return "DepthwiseConv2DOptions", {**fields, "depthMultiplier": 1}


def _fully_connected(graph: Graph, node: nodes.FullyConnected) -> tuple[str, Mapping[str, Any]]:
    dynamic = scheme_of_node(graph, node) == W8_DYNAMIC
    return "FullyConnectedOptions", {"asymmetricQuantizeInputs": dynamic}


def _add(graph: Graph, node: nodes.Add) -> tuple[str, Mapping[str, Any]]:
    # The schema's default is the kernel that knows powers of two as 16-bit scales alone.
    params = graph.quant.get(node.name)
    return "AddOptions", {
        "potScaleInt16": params is None or params.dtype != "int16",
        "fusedActivationFunction": _fused(node),
    }


def _pool(graph: Graph, node: nodes.AveragePool2D) -> tuple[str, Mapping[str, Any]]:
    height, width = node.kernel
    return "Pool2DOptions", {
        "padding": _padding("VALID"),
        "strideW": width,
        "strideH": height,
        "filterWidth": width,
        "filterHeight": height,
    }


def _max_pool(graph: Graph, node: nodes.MaxPool2D) -> tuple[str, Mapping[str, Any]]:
    return "Pool2DOptions", {
        "padding": _padding_of(graph, node),
        "strideW": node.stride,
        "strideH": node.stride,
        "filterWidth": node.kernel,
        "filterHeight": node.kernel,
    }


def _spatial_axes(graph: Graph, node: nodes.Mean) -> tuple[Value, ...]:
    return (constant("spatial_axes", np.array([1, 2], np.int32)),)


def _shape(graph: Graph, node: nodes.Flatten | nodes.Rows) -> tuple[Value, ...]:
    shape = np.array([1, *graph.shapes[node.name]], np.int32)
    return (constant(f"{node.name}/shape", shape),)


def _concatenation(graph: Graph, node: nodes.Concat) -> Options:
    is_map = len(graph.shapes[node.name]) == 3
    return "ConcatenationOptions", {"axis": 3 if is_map else 1}


#: By method: the operator and its flags, which torch's results were verified with.
RESIZES: dict[str, tuple[str, Mapping[str, bool]]] = {
    "nearest": ("RESIZE_NEAREST_NEIGHBOR", {"alignCorners": False, "halfPixelCenters": False}),
    "bilinear-corners": ("RESIZE_BILINEAR", {"alignCorners": True, "halfPixelCenters": False}),
    "bilinear-half-pixel": ("RESIZE_BILINEAR", {"alignCorners": False, "halfPixelCenters": True}),
}
_RESIZE_OPTIONS = {
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
}


def _resize(graph: Graph, node: nodes.Resize) -> Options:
    operator, flags = RESIZES[node.method]
    return _RESIZE_OPTIONS[operator], flags


def _size(graph: Graph, node: nodes.Resize) -> tuple[Value, ...]:
    return (constant(f"{node.name}/size", np.array(node.size, np.int32)),)


def _repeats(graph: Graph, node: nodes.Tile) -> tuple[Value, ...]:
    return (constant(f"{node.name}/repeats", np.array([1, *node.size, 1], np.int32)),)


def _arg_max(graph: Graph, node: nodes.ArgMax) -> Options:
    return "ArgMaxOptions", {"outputType": int(schema().TensorType.INT32)}


def _channel_axis(graph: Graph, node: nodes.ArgMax) -> tuple[Value, ...]:
    return (constant("channel_axis", np.array(3, np.int32)),)


OPERATORS: dict[type[Node], Row] = {
    nodes.Conv2D: Row("CONV_2D", _convolution),
    nodes.DepthwiseConv2D: Row("DEPTHWISE_CONV_2D", _depthwise),
    nodes.FullyConnected: Row("FULLY_CONNECTED", _fully_connected),
    nodes.Activation: Row("LOGISTIC"),
    nodes.Add: Row("ADD", _add),
    nodes.Mul: Row("MUL", lambda graph, node: ("MulOptions", {})),
    nodes.Mean: Row(
        "MEAN", lambda graph, node: ("ReducerOptions", {"keepDims": node.keep_dims}), _spatial_axes
    ),
    nodes.AveragePool2D: Row("AVERAGE_POOL_2D", _pool),
    nodes.MaxPool2D: Row("MAX_POOL_2D", _max_pool),
    **dict.fromkeys(
        (nodes.Flatten, nodes.Rows),
        Row("RESHAPE", lambda graph, node: ("ReshapeOptions", {}), _shape),
    ),
    nodes.Concat: Row("CONCATENATION", _concatenation),
    nodes.Resize: Row(
        "RESIZE_BILINEAR", _resize, _size, variant=lambda node: RESIZES[node.method][0]
    ),
    nodes.Tile: Row(
        "TILE",
        lambda graph, node: ("TileOptions", {}),
        _repeats,
        # Its third version takes int8, but came with TensorFlow 2.8: no compiler that embeds 2.5
        # has it. What int16 stands for is exact in float32.
        instead={"int8": "uint8", "int16": "float32"},
    ),
    nodes.DetectionPostProcess: Row(POST_PROCESS),
    nodes.ArgMax: Row("ARG_MAX", _arg_max, _channel_axis, instead={"int16": "float32"}),
}
