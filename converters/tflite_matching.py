"""Finds a quantized Graph's tensors in the .tflite file written from it, and what differs there.

Names in a file are the converter's own; the match follows the data instead: the operator that
does what a node does and reads what it reads is that node's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgekit.calibration.affine import integers
from edgekit.converters.tflite_file import Operator, Tensor, TFLiteModel
from edgekit.graph import (
    AveragePool2D,
    Flatten,
    Graph,
    Node,
    QuantParams,
    SpatialNode,
    WeightedNode,
)

OPERATORS = {
    "Conv2D": "CONV_2D",
    "DepthwiseConv2D": "DEPTHWISE_CONV_2D",
    "FullyConnected": "FULLY_CONNECTED",
    "Activation": "LOGISTIC",
    "Add": "ADD",
    "Mul": "MUL",
    "Mean": "MEAN",
    "AveragePool2D": "AVERAGE_POOL_2D",
    "Flatten": "RESHAPE",
}
FUSED = {"linear": "NONE", "relu": "RELU", "relu6": "RELU6"}
#: From the Graph's layouts to TFLite's: HWIO to OHWI, HWC to 1HWC, IO to OI.
LAYOUTS = {"CONV_2D": (3, 0, 1, 2), "DEPTHWISE_CONV_2D": (0, 1, 2), "FULLY_CONNECTED": (1, 0)}
#: The axis of the output channels in the file's layout.
CHANNEL_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
#: float32 keeps 6e-8 of a scale or a bias; the writer computes ranges from scales and back.
RELATIVE = 1e-6


@dataclass(frozen=True)
class Difference:
    """Something that the file does not hold as the Graph says.

    Attributes:
        tensor: the Graph's name of the tensor or weight.
        kind: ``scale``, ``zero point``, ``weights``, ``activation``, ``kernel``, ``stride``,
            ``padding``, ``shape`` or ``structure``.
        message: what is there and what should be.
    """

    tensor: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.tensor}: {self.message}"


@dataclass(frozen=True)
class Match:
    """Where the Graph's tensors are in a file.

    Attributes:
        tensors: from the Graph's names (of activations and of weights) to tensor indices.
        copies: from other tensor indices to the Graph's tensor whose values they hold: the ends
            of another type, and what an operator of its own has padded.
        operators: from nodes to operator indices.
        missing: nodes that were not found.
    """

    tensors: dict[str, int]
    copies: dict[int, str]
    operators: dict[str, int]
    missing: tuple[Difference, ...]

    def names(self) -> dict[int, str]:
        """The Graph's names by tensor index."""
        return {**self.copies, **{index: name for name, index in self.tensors.items()}}


@dataclass
class _Matcher:
    graph: Graph
    model: TFLiteModel
    tensors: dict[str, int] = field(default_factory=dict)
    copies: dict[int, str] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    missing: list[Difference] = field(default_factory=list)

    def run(self) -> Match:
        self.producers = {i: op for op in self.model.operators for i in op.outputs}
        entry = self.model.inputs[0]
        readers = self.model.consumers(entry)
        if len(readers) == 1 and readers[0].name == "QUANTIZE":
            self.copies[entry] = self.graph.input
            entry = readers[0].outputs[0]
        self.tensors[self.graph.input] = entry
        for node in self.graph.nodes:
            self.node(node)
        output = self.tensors.get(self.graph.output)
        for op in self.model.consumers(output) if output is not None else ():
            self.copies[op.outputs[0]] = self.graph.output
        return Match(self.tensors, self.copies, self.operators, tuple(self.missing))

    def node(self, node: Node) -> None:
        kind = OPERATORS[type(node).__name__]
        wanted = {self.tensors.get(name, -1) for name in node.inputs}
        taken = set(self.operators.values())
        for op in self.model.operators:
            if op.name == kind and op.index not in taken and self.reads(op) == wanted:
                break
        else:
            if isinstance(node, Flatten):  # FULLY_CONNECTED flattens its input itself
                self.tensors[node.name] = wanted.pop()
                return
            reads = " and ".join(node.inputs)
            message = f"the file has no {kind} that reads {reads}"
            self.missing.append(Difference(node.name, "structure", message))
            return
        self.operators[node.name] = op.index
        self.tensors[node.name] = op.outputs[0]
        pad = self.pad(op)
        if pad is not None:
            self.copies[pad.outputs[0]] = node.inputs[0]
        if isinstance(node, WeightedNode):
            weights = zip(node.weight_names(), op.inputs[1:], strict=False)
            self.tensors |= {name: index for name, index in weights if index >= 0}

    def reads(self, op: Operator) -> set[int]:
        """The activations that an operator reads, seen through padding."""
        pad = self.pad(op)
        inputs = op.inputs if pad is None else (pad.inputs[0], *op.inputs[1:])
        return {i for i in inputs if i >= 0 and not self.model.tensors[i].is_constant}

    def pad(self, op: Operator) -> Operator | None:
        producer = self.producers.get(op.inputs[0])
        spatial = op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
        return producer if spatial and producer and producer.name == "PAD" else None


def match(graph: Graph, model: TFLiteModel) -> Match:
    """Finds every node's operator and every tensor.

    Args:
        graph: as it was handed to `edgekit.converters.tflite.convert`.
        model: the file that came of it.
    """
    return _Matcher(graph, model).run()


def find_differences(graph: Graph, model: TFLiteModel, found: Match) -> list[Difference]:
    """Compares a file with the quantized Graph that it was written from.

    Scales count as equal up to float32's precision, integers of weights must be the same.

    Returns:
        What differs, in the order of execution; nothing for a faithful file.
    """
    return [*_Comparison(graph, model, found).differences(), *found.missing]


def intended(graph: Graph, model: TFLiteModel, found: Match) -> TFLiteModel:
    """The file as it should be: with the Graph's scales, zero points, weights and activations.

    What is equal up to float32's precision is left as it is in the file.
    """
    return _Comparison(graph, model, found).intended()


class _Comparison:
    def __init__(self, graph: Graph, model: TFLiteModel, found: Match) -> None:
        self.graph, self.model, self.found = graph, model, found
        self.tensors = list(model.tensors)
        self.operators = list(model.operators)

    def intended(self) -> TFLiteModel:
        for _ in self.differences():
            pass
        return replace(self.model, tensors=tuple(self.tensors), operators=tuple(self.operators))

    def differences(self) -> Iterator[Difference]:
        """Yields what differs, and sets it right in `tensors` and `operators`."""
        copies: dict[str, list[int]] = {}
        for index, name in self.found.copies.items():
            copies.setdefault(name, []).append(index)
        for name in (self.graph.input, *(node.name for node in self.graph.nodes)):
            if name in self.found.operators:
                yield from self._operator(self.graph.node(name))
            for index in (self.found.tensors.get(name, -1), *copies.get(name, ())):
                if index >= 0:
                    yield from self._quantization(name, index, self.graph.quant[name])

    def _operator(self, node: Node) -> Iterator[Difference]:
        index = self.found.operators[node.name]
        op = self.operators[index]
        wanted = FUSED.get(getattr(node, "activation", "linear"), "NONE")
        if op.fused_activation != wanted:
            self.operators[index] = replace(op, fused_activation=wanted)
            message = f"fused activation {op.fused_activation} in the file, not {wanted}"
            yield Difference(node.name, "activation", message)
        output = self.model.tensors[op.outputs[0]].shape
        if output != (1, *self.graph.shapes[node.name]):
            message = f"shape {list(output)} in the file, not {[1, *self.graph.shapes[node.name]]}"
            yield Difference(node.name, "shape", message)
        if isinstance(node, SpatialNode):
            yield from self._geometry(node, op)
        if isinstance(node, AveragePool2D):
            yield from self._windows(node, op)
        if isinstance(node, WeightedNode):
            for name in node.weight_names():
                if name in self.found.tensors:
                    params = self._weight_params(node, name)
                    yield from self._quantization(name, self.found.tensors[name], params)
                    yield from self._weights(name, op, params)
                elif integers(self.graph.weights[name], self.graph.quant[name]).any():
                    yield Difference(name, "structure", "the file has none")

    def _geometry(self, node: SpatialNode, op: Operator) -> Iterator[Difference]:
        strides = {op.options["stride_h"], op.options["stride_w"]}
        if strides != {node.stride}:
            yield Difference(node.name, "stride", f"stride {strides}, not {node.stride}")
        sides = self.graph.shapes[node.inputs[0]][:2]
        wanted = [node.pads(side) for side in sides]
        pad = self.model.producer(op.inputs[0])
        if op.options["padding"] == 0:
            found = [replace(node, padding="same").pads(side) for side in sides]
        elif pad is not None and pad.name == "PAD":
            found = [tuple(row) for row in self.model.tensors[pad.inputs[1]].values()[1:3].tolist()]
        else:
            found = [(0, 0), (0, 0)]
        if found != wanted:
            yield Difference(node.name, "padding", f"padding {found} in the file, not {wanted}")

    def _windows(self, node: AveragePool2D, op: Operator) -> Iterator[Difference]:
        sizes = {
            "kernel": (op.options["filter_height"], op.options["filter_width"]),
            "stride": (op.options["stride_h"], op.options["stride_w"]),
        }
        for kind, found in sizes.items():
            if found != node.kernel:
                message = f"{kind} {list(found)} in the file, not {list(node.kernel)}"
                yield Difference(node.name, kind, message)

    def _weight_params(self, node: WeightedNode, name: str) -> QuantParams:
        """The Graph's, but for channels without any weight the scales of the file.

        The converter raises scales below 4e-9; where all weights are zero, that changes nothing.
        """
        params, scales = self.graph.quant[name], self.model.tensors[self.found.tensors[name]].scales
        kernel = f"{node.name}/kernel"
        weights = integers(self.graph.weights[kernel], self.graph.quant[kernel])
        dead = np.equal(np.abs(weights).reshape(-1, weights.shape[-1]).max(0), 0)
        if not len(scales) == len(params.scale) == len(dead):
            return params
        return replace(params, scale=tuple(np.where(dead, scales, params.scale).tolist()))

    def _quantization(self, name: str, index: int, params: QuantParams) -> Iterator[Difference]:
        tensor = self.tensors[index]
        if tensor.dtype == "float32":  # an end of the file
            return
        zero_points = tuple(z + 128 * (tensor.dtype == "uint8") for z in params.zero_point)
        where = name if self.found.tensors.get(name) == index else f"{name} ({tensor.name})"
        scales, close = _nearest(tensor.scales, params)
        if not close:
            yield Difference(where, "scale", _scales(tensor, params))
        elif tensor.zero_points != zero_points:
            message = f"zero point {tensor.zero_points[0]} in the file, not {zero_points[0]}"
            yield Difference(where, "zero point", message)
        self.tensors[index] = replace(tensor, scales=scales, zero_points=zero_points)

    def _weights(self, name: str, op: Operator, params: QuantParams) -> Iterator[Difference]:
        index = self.found.tensors[name]
        tensor = self.tensors[index]
        values = integers(self.graph.weights[name], params)
        if name.endswith("/kernel"):
            values = values.transpose(LAYOUTS[op.name])
            values = values[None] if op.name == "DEPTHWISE_CONV_2D" else values
        if values.shape != tensor.shape:
            message = f"shape {list(tensor.shape)} in the file, not {list(values.shape)}"
            yield Difference(name, "weights", message)
            return
        stored = tensor.values()
        # A bias passes through float32 on its way into the file.
        slack = 0.0 if tensor.dtype == "int8" else np.abs(values) * RELATIVE
        differ = np.abs(stored.astype(np.int64) - values) > slack
        if not differ.any():
            return
        share = f"{np.mean(differ):.1%} of the integers differ"
        hint = _permuted(stored, values, op)
        yield Difference(name, "weights", f"{share}{hint}")
        data = np.ascontiguousarray(values.astype(tensor.dtype)).view(np.uint8).reshape(-1)
        self.tensors[index] = replace(tensor, data=data)


def _nearest(found: tuple[float, ...], params: QuantParams) -> tuple[tuple[float, ...], bool]:
    """The file's scales where they are the Graph's to float32's precision, else the Graph's."""
    wanted = tuple(float(np.float32(scale)) for scale in params.scale)
    if len(found) != len(wanted):
        return wanted, False
    close = np.isclose(found, wanted, rtol=RELATIVE, atol=0)
    return tuple(np.where(close, found, wanted).tolist()), bool(close.all())


def _scales(tensor: Tensor, params: QuantParams) -> str:
    if len(tensor.scales) != len(params.scale):
        return f"{len(tensor.scales)} scales in the file, not {len(params.scale)}"
    ratios = np.array(tensor.scales) / np.array(params.scale)
    worst = int(np.argmax(np.abs(ratios - 1)))
    channel = f" of channel {worst}" if len(ratios) > 1 else ""
    return (
        f"scale{channel} {tensor.scales[worst]:.8g} in the file, not {params.scale[worst]:.8g} "
        f"({ratios[worst] - 1:+.2%})"
    )


def _permuted(stored: Any, values: Any, op: Operator) -> str:
    """Says so where the file holds the right channels in another order."""
    if values.ndim == 1:
        axes: dict[str, int] = {"channels": 0}
    else:
        out = CHANNEL_AXES[op.name]
        axes = {"output channels": out, "input channels": values.ndim - 1}
    for what, axis in axes.items():
        if _rows(stored, axis) == _rows(values, axis):
            return f": the same {what} in another order"
    return ""


def _rows(array: Any, axis: int) -> list[bytes]:
    """The slices along an axis, sorted."""
    slices = np.moveaxis(array.astype(np.int32), axis, 0)
    return sorted(np.ascontiguousarray(part).tobytes() for part in slices)
