"""The operators of a TFLite file, as the Graph decides them: one row per kind of node.

What a converter would decide is read off the Graph: a tensor with `QuantParams` holds integers, a
node whose tensors or kernel have none computes in float, and where the two meet there is an
operator between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from edgekit.converters.tflite.file import schema
from edgekit.converters.tflite.op_versions import VERSIONS
from edgekit.converters.tflite.values import (
    BEFORE,
    IN_FLOAT,
    PADDED,
    Operation,
    Operations,
    Value,
    constant,
    in_type,
    make_options,
    type_of_version,
)
from edgekit.errors import EdgekitError
from edgekit.networks import nodes
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Array, Node, SpatialNode, WeightedNode, row_of
from edgekit.networks.quantization import integers
from edgekit.networks.schemes import FP32, W8_DYNAMIC, scheme_of_node

FUSED = {"linear": "NONE", "relu": "RELU", "relu6": "RELU6"}
#: From the Graph's layouts to TFLite's: HWIO to OHWI, HWC to 1HWC, IO to OI.
LAYOUTS = {"CONV_2D": (3, 0, 1, 2), "DEPTHWISE_CONV_2D": (0, 1, 2), "FULLY_CONNECTED": (1, 0)}
#: The axis of the output channels in the file's layout.
CHANNEL_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


@dataclass(frozen=True)
class Row:
    """How a kind of node is written.

    Attributes:
        operator: the schema's name.
        options: name and fields of its options, for a node of that kind and its types.
        more: constants that it reads behind the activations, without weights.
    """

    operator: str
    options: Callable[[_Walk, Any], tuple[str, Mapping[str, Any]] | None] = lambda walk, node: None
    more: Callable[[_Walk, Any], tuple[Value, ...]] = lambda walk, node: ()


def list_operations(graph: Graph, io: str, *, half: bool = False) -> Operations:
    """The operators of a network.

    Args:
        graph: prepared (`edgekit.networks.passes.prepare`); float, or quantized wholly or partly.
        io: type of the file's input and output.
        half: whether the weights of a float network are stored in float16.
    """
    return _Walk(graph, half).run(io)


@dataclass
class _Walk:
    """Goes through a Graph and notes operators."""

    graph: Graph
    half: bool
    steps: list[Operation] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    def run(self, io: str) -> Operations:
        graph = self.graph
        own = self.activation(graph.input)
        source = own if own.dtype == io else in_type(own, io, f"_{io}")
        self.convert(source, own)
        self.values[graph.input] = own
        for node in graph.nodes:
            if isinstance(node, nodes.Flatten) and self.is_flattened_by_reader(node):
                self.values[node.name] = self.values[node.inputs[0]]
            else:
                self.node(node)
        last = self.values[graph.output]
        result = last if last.dtype == io else in_type(last, io, f"_{io}")
        self.convert(last, result)
        return Operations(tuple(self.steps), source, result, graph.output)

    def is_flattened_by_reader(self, node: nodes.Flatten) -> bool:
        """Whether only FULLY_CONNECTEDs read a vector, which flatten their input themselves."""
        readers = [reader for reader in self.graph.nodes if node.name in reader.inputs]
        dense = {type(reader) for reader in readers} == {nodes.FullyConnected}
        quant = self.graph.quant
        return dense and quant.get(node.name) == quant.get(node.inputs[0])

    def activation(self, name: str) -> Value:
        """The tensor of the Graph, in the type that it has there."""
        params = self.graph.quant.get(name)
        shape = (1, *self.graph.shapes[name])
        return Value(
            name=name, shape=shape, dtype=params.dtype if params else "float32", params=params
        )

    def node(self, node: Node) -> None:
        """Notes a node's operator, with those that its inputs and its output need."""
        row = row_of(OPERATORS, node, "TFLite operator")
        output = self.activation(node.name)
        inputs = [self.values[name] for name in node.inputs]
        if isinstance(node, WeightedNode) and node.batch_norm is not None:
            raise ValueError(f"the batch normalization of '{node.name}' is not folded")
        computed = output
        if scheme_of_node(self.graph, node) in (FP32, W8_DYNAMIC):
            inputs = [self.in_float(value) for value in inputs]
            computed = in_type(output, "float32", BEFORE) if output.params else output
        if isinstance(node, SpatialNode):
            inputs = [self.padded(node, inputs[0])]
        weights = [self.weight(row.operator, name) for name in node.weight_names()]
        reads = (*inputs, *weights, *row.more(self, node))
        kind = type_of_version(row.operator, reads, computed)
        self.step(row.operator, kind, reads, computed, row.options(self, node))
        self.convert(computed, output)
        self.values[node.name] = output

    def step(
        self,
        operator: str,
        kind: str,
        inputs: tuple[Value, ...],
        output: Value,
        options: tuple[str, Mapping[str, Any]] | None,
    ) -> None:
        """Notes an operator; ``kind`` decides its version."""
        self.steps.append(
            Operation(
                operator=operator,
                version=VERSIONS[operator][kind],
                inputs=inputs,
                output=output,
                options=make_options(*options) if options else None,
            )
        )

    def convert(self, source: Value, result: Value) -> None:
        """Notes the operator that changes a tensor's type, where there is one."""
        if source.name == result.name:
            return
        name = "DEQUANTIZE" if result.dtype == "float32" else "QUANTIZE"
        by = source if name == "DEQUANTIZE" else result
        self.step(name, by.dtype, (source,), result, (f"{name.capitalize()}Options", {}))

    def in_float(self, value: Value) -> Value:
        """The reals that a tensor's integers stand for; one operator for all that read them."""
        if value.params is None:
            return value
        real = in_type(value, "float32", IN_FLOAT)
        if real.name not in self.values:
            self.convert(value, real)
            self.values[real.name] = real
        return real

    def padded(self, node: SpatialNode, value: Value) -> Value:
        """TFLite's convolutions know ``SAME``; other padding is an operator of its own."""
        if has_same_padding(self.graph, node):
            return value
        height, width = self.graph.shapes[node.inputs[0]][:2]
        rows = ((0, 0), node.pads(height), node.pads(width), (0, 0))
        pads = constant(f"{node.name}/pads", np.array(rows, np.int32))
        shape = tuple(
            side + before + after for side, (before, after) in zip(value.shape, rows, strict=True)
        )
        wider = replace(value, name=f"{node.name}{PADDED}", shape=shape)
        self.step("PAD", value.dtype, (value, pads), wider, ("PadOptions", {}))
        return wider

    def weight(self, operator: str, name: str) -> Value:
        """A kernel or a bias, as the operator reads it."""
        array, params = self.graph.weights[name], self.graph.quant.get(name)
        dtype = params.dtype if params else "float16" if self.half else "float32"
        is_kernel = name.endswith("/kernel")
        layout = LAYOUTS[operator] if is_kernel else (0,)
        shape = tuple(array.shape[axis] for axis in layout)
        value = Value(
            name=name,
            shape=(1, *shape) if operator == "DEPTHWISE_CONV_2D" and is_kernel else shape,
            dtype=dtype,
            params=params,
            axis=CHANNEL_AXES[operator] if is_kernel else 0,
            data=partial(_numbers, name, array, params, layout, dtype),
        )
        if dtype != "float16":
            return value
        wide = Value(name=f"{name}{IN_FLOAT}", shape=value.shape, dtype="float32")
        self.convert(value, wide)
        return wide


def has_same_padding(graph: Graph, node: SpatialNode) -> bool:
    """Whether a node's zeros are where TFLite's ``SAME`` has them."""
    sides = graph.shapes[node.inputs[0]][:2]
    same = replace(node, padding="same")
    return all(node.pads(side) == same.pads(side) for side in sides)


def _numbers(
    name: str, array: Array, params: QuantParams | None, layout: Sequence[int], dtype: str
) -> Array:
    """The numbers of a weight in the file's layout and type."""
    if params is not None:
        return np.ascontiguousarray(integers(array, params).astype(dtype).transpose(layout))
    with np.errstate(over="ignore"):
        stored = array.astype(dtype)
    if not np.isfinite(stored).all():
        raise EdgekitError(
            f"the weight '{name}' cannot be stored as {dtype}",
            cause=f"it reaches {np.abs(array).max():.3g}, and {dtype} ends at "
            f"{np.finfo(dtype).max:.5g}",
        )
    return np.ascontiguousarray(stored.transpose(layout))


def _fused(name: str) -> int:
    return int(getattr(schema().ActivationFunctionType, FUSED[name]))


def _padding(name: str) -> int:
    return int(getattr(schema().Padding, name))


def _convolution(walk: _Walk, node: SpatialNode) -> tuple[str, Mapping[str, Any]]:
    same = has_same_padding(walk.graph, node)
    return "Conv2DOptions", {
        "padding": _padding("SAME" if same else "VALID"),
        "strideW": node.stride,
        "strideH": node.stride,
        "fusedActivationFunction": _fused(node.activation),
    }


def _depthwise(walk: _Walk, node: nodes.DepthwiseConv2D) -> tuple[str, Mapping[str, Any]]:
    _, fields = _convolution(walk, node)
    return "DepthwiseConv2DOptions", {**fields, "depthMultiplier": 1}


def _fully_connected(walk: _Walk, node: nodes.FullyConnected) -> tuple[str, Mapping[str, Any]]:
    dynamic = scheme_of_node(walk.graph, node) == W8_DYNAMIC
    return "FullyConnectedOptions", {"asymmetricQuantizeInputs": dynamic}


def _add(walk: _Walk, node: nodes.Add) -> tuple[str, Mapping[str, Any]]:
    # The schema's default is the kernel that knows powers of two as 16-bit scales alone.
    params = walk.graph.quant.get(node.name)
    return "AddOptions", {"potScaleInt16": params is None or params.dtype != "int16"}


def _pool(walk: _Walk, node: nodes.AveragePool2D) -> tuple[str, Mapping[str, Any]]:
    height, width = node.kernel
    return "Pool2DOptions", {
        "padding": _padding("VALID"),
        "strideW": width,
        "strideH": height,
        "filterWidth": width,
        "filterHeight": height,
    }


def _spatial_axes(walk: _Walk, node: nodes.Mean) -> tuple[Value, ...]:
    return (constant("spatial_axes", np.array([1, 2], np.int32)),)


def _vector(walk: _Walk, node: nodes.Flatten) -> tuple[Value, ...]:
    shape = np.array([1, *walk.graph.shapes[node.name]], np.int32)
    return (constant(f"{node.name}/shape", shape),)


OPERATORS: dict[type[Node], Row] = {
    nodes.Conv2D: Row("CONV_2D", _convolution),
    nodes.DepthwiseConv2D: Row("DEPTHWISE_CONV_2D", _depthwise),
    nodes.FullyConnected: Row("FULLY_CONNECTED", _fully_connected),
    nodes.Activation: Row("LOGISTIC"),
    nodes.Add: Row("ADD", _add),
    nodes.Mul: Row("MUL", lambda walk, node: ("MulOptions", {})),
    nodes.Mean: Row(
        "MEAN", lambda walk, node: ("ReducerOptions", {"keepDims": node.keep_dims}), _spatial_axes
    ),
    nodes.AveragePool2D: Row("AVERAGE_POOL_2D", _pool),
    nodes.Flatten: Row("RESHAPE", lambda walk, node: ("ReshapeOptions", {}), _vector),
}
