"""The operators of a TFLite file, as the Graph decides them (`edgekit.converters.tflite.rows`).

What a converter would decide is read off the Graph: a tensor with `QuantParams` holds integers, a
node whose tensors or kernel have none computes in float, and where the two meet there is an
operator between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from edgekit.converters.resizes import class_dtype
from edgekit.converters.tflite.detections import SIGNATURE, encode_options, outputs_of
from edgekit.converters.tflite.op_versions import VERSIONS
from edgekit.converters.tflite.rows import CLASS_TYPES, OPERATORS, operator_of
from edgekit.converters.tflite.values import (
    BEFORE,
    FLAT,
    FOR,
    IN_BYTES,
    IN_FLOAT,
    PADDED,
    Operation,
    Operations,
    Value,
    constant,
    in_type,
    make_options,
    tensor_type,
    type_of_version,
)
from edgekit.errors import EdgekitError
from edgekit.networks import nodes
from edgekit.networks.detection.postprocess import options_of
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Array, Node, WeightedNode, WindowNode, row_of
from edgekit.networks.quantization import integers
from edgekit.networks.schemes import FP32, W8_DYNAMIC, scheme_of_node

#: From the Graph's layouts to TFLite's: HWIO to OHWI, HWC to 1HWC, IO to OI.
LAYOUTS = {"CONV_2D": (3, 0, 1, 2), "DEPTHWISE_CONV_2D": (0, 1, 2), "FULLY_CONNECTED": (1, 0)}
#: By type, what is added to a tensor's name for its values in that type: where it is read, written.
CHANGED = {"float32": (IN_FLOAT, BEFORE), "uint8": (IN_BYTES, IN_BYTES)}
#: The axis of the output channels in the file's layout.
CHANNEL_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


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
    #: Tensors in another scale, by their own name and that scale.
    rescaled: dict[tuple[str, QuantParams | None], Value] = field(default_factory=dict)

    def run(self, io: str) -> Operations:
        graph = self.graph
        own = self.activation(graph.input)
        source = own if own.dtype == io else in_type(own, io, f"_{io}")
        self.convert(source, own)
        self.values[graph.input] = own
        results: dict[str, Value] = {}
        for node in graph.nodes:
            if isinstance(node, nodes.Flatten) and self.is_flattened_by_reader(node):
                self.values[node.name] = self.values[node.inputs[0]]
            elif isinstance(node, nodes.DetectionPostProcess):
                results |= self.boxes(node)
            else:
                self.node(node)
        for name in graph.outputs:
            if name not in graph.float_tensors:
                results[name] = self.result(name, io)
        return Operations(tuple(self.steps), source, results)

    def boxes(self, node: nodes.DetectionPostProcess) -> Mapping[str, Value]:
        """Notes the operator that ends a detector; returns what it gives."""
        (name,) = node.weight_names()
        anchors = constant(name, self.graph.weights[name])
        first, *more = outputs_of(node)
        step = Operation(
            operator=operator_of(node),
            version=VERSIONS[operator_of(node)]["float32"],
            inputs=(*(self.in_float(self.values[source]) for source in node.inputs), anchors),
            output=first,
            options=encode_options(options_of(self.graph, node)),
            more=tuple(more),
        )
        self.steps.append(step)
        return dict(zip(SIGNATURE, step.outputs, strict=True))

    def result(self, name: str, io: str) -> Value:
        """An output of the network as one of the file."""
        own = self.values[name]
        given = own.dtype == io or name in self.graph.class_tensors
        result = own if given else in_type(own, io, f"_{io}")
        self.convert(own, result)
        return result

    def is_flattened_by_reader(self, node: nodes.Flatten) -> bool:
        """Whether only FULLY_CONNECTEDs read a vector, which flatten their input themselves."""
        readers = [reader for reader in self.graph.nodes if node.name in reader.inputs]
        dense = {type(reader) for reader in readers} == {nodes.FullyConnected}
        quant = self.graph.quant
        return dense and quant.get(node.name) == quant.get(node.inputs[0])

    def activation(self, name: str) -> Value:
        """The tensor of the Graph, in the type that it has there."""
        params = self.graph.quant.get(name)
        dtype = params.dtype if params else "float32"
        if name in self.graph.class_tensors:
            dtype = class_dtype(self.graph, name, *CLASS_TYPES)
        shape = (1, *self.graph.shapes[name])
        return Value(name=name, shape=shape, dtype=dtype, params=params)

    def node(self, node: Node) -> None:
        """Notes a node's operator, with those that its inputs and its output need."""
        row, operator = row_of(OPERATORS, node, "TFLite operator"), operator_of(node)
        output = self.activation(node.name)
        inputs = [self.values[name] for name in node.inputs]
        if isinstance(node, WeightedNode) and node.batch_norm is not None:
            raise ValueError(f"the batch normalization of '{node.name}' is not folded")
        computed = output
        if scheme_of_node(self.graph, node) in (FP32, W8_DYNAMIC):
            inputs = [self.in_float(value) for value in inputs]
            computed = in_type(output, "float32", BEFORE) if output.params else output
        if isinstance(node, WindowNode):
            inputs = [self.padded(node, inputs[0])]
        elif isinstance(node, nodes.Concat):
            inputs = [self.in_scale(value, computed) for value in inputs]
        elif node.name in self.graph.class_tensors and output.dtype != "int32":
            inputs = [self.cast(value, output.dtype) for value in inputs]
        if isinstance(node, nodes.ArgMax) and node.keep_dims:
            computed = replace(output, name=f"{node.name}{FLAT}", shape=output.shape[:-1])
        inputs = [self.in_another(value, row.instead) for value in inputs]
        if computed.dtype in row.instead:
            dtype = row.instead[computed.dtype]
            computed = in_type(computed, dtype, CHANGED[dtype][1])
        weights = [self.weight(operator, name) for name in node.weight_names()]
        reads = (*inputs, *weights, *row.more(self.graph, node))
        options = row.options(self.graph, node)
        kind = type_of_version(operator, reads, computed, options[1] if options else {})
        self.step(operator, kind, reads, computed, options)
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
        if source.shape != result.shape:
            shape = constant(f"{result.name}/shape", np.array(result.shape, np.int32))
            self.step("RESHAPE", source.dtype, (source, shape), result, ("ReshapeOptions", {}))
            return
        name = "DEQUANTIZE" if result.dtype == "float32" else "QUANTIZE"
        by = source if name == "DEQUANTIZE" else result
        self.step(name, by.dtype, (source,), result, (f"{name.capitalize()}Options", {}))

    def in_float(self, value: Value) -> Value:
        """The reals that a tensor's integers stand for; one operator for all that read them."""
        return self.in_another(value, {} if value.params is None else {value.dtype: "float32"})

    def in_scale(self, value: Value, result: Value) -> Value:
        """The integers of a tensor in the scale of another; one operator for each scale."""
        if value.params == result.params:
            return value
        key = (value.name, result.params)
        if key not in self.rescaled:
            name = f"{value.name}{FOR}{result.name}"
            self.rescaled[key] = replace(value, name=name, params=result.params)
            self.convert(value, self.rescaled[key])
        return self.rescaled[key]

    def in_another(self, value: Value, types: Mapping[str, str]) -> Value:
        """The same values in the type given for theirs; one operator for all that read them."""
        if value.dtype not in types:
            return value
        dtype = types[value.dtype]
        changed = in_type(value, dtype, CHANGED[dtype][0])
        if changed.name not in self.values:
            self.convert(value, changed)
            self.values[changed.name] = changed
        return changed

    def cast(self, value: Value, dtype: str) -> Value:
        """A tensor of classes in another type; one operator for all that read it."""
        narrow = replace(value, name=f"{value.name}_{dtype}", dtype=dtype)
        if value.dtype == dtype:
            return value
        if narrow.name not in self.values:
            types = {"inDataType": value.dtype, "outDataType": dtype}
            fields = {key: tensor_type(name) for key, name in types.items()}
            self.step("CAST", value.dtype, (value,), narrow, ("CastOptions", fields))
            self.values[narrow.name] = narrow
        return narrow

    def padded(self, node: WindowNode, value: Value) -> Value:
        """TFLite's windows know ``SAME``; other padding is an operator of its own."""
        if self.graph.has_same_padding(node):
            return value
        height, width = self.graph.shapes[node.inputs[0]][:2]
        rows = ((0, 0), node.pads(height), node.pads(width), (0, 0))
        pads = constant(f"{node.name}/pads", np.array(rows, np.int32))
        shape = tuple(
            side + before + after for side, (before, after) in zip(value.shape, rows, strict=True)
        )
        wider = replace(value, name=f"{node.name}{PADDED}", shape=shape)
        if isinstance(node, nodes.MaxPool2D):
            lowest = replace(_lowest(value.dtype, f"{node.name}/lowest"), params=value.params)
            self.step("PADV2", value.dtype, (value, pads, lowest), wider, ("PadV2Options", {}))
        else:
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


def _lowest(dtype: str, name: str) -> Value:
    """The lowest number of a type as a constant: it is never the largest of a window."""
    limits = np.finfo(dtype) if dtype == "float32" else np.iinfo(dtype)
    return constant(name, np.array(limits.min, dtype))


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
