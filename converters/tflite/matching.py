"""Finds a Graph's tensors in the .tflite file written from it, and what differs there.

The file's tensors carry the Graph's names; the operator that writes a node's tensor is that
node's, where it is of the node's kind and reads what the node reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.converters.tflite.detections import OUTPUTS as BOXES_OUTPUTS
from edgekit.converters.tflite.detections import encode_options, read_options
from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel
from edgekit.converters.tflite.operators import CHANNEL_AXES, LAYOUTS
from edgekit.converters.tflite.rows import FUSED, RESIZES, operator_of
from edgekit.converters.tflite.values import BEFORE, IN_FLOAT, PADDED
from edgekit.networks.detection.postprocess import options_of
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import (
    ArgMax,
    AveragePool2D,
    DetectionPostProcess,
    Flatten,
    MaxPool2D,
    Node,
    Resize,
    SpatialNode,
    WeightedNode,
    WindowNode,
    activation_of,
)
from edgekit.networks.quantization import integers

#: What stands between an operator and a tensor of the Graph that it reads.
_PADS = ("PAD", "PADV2")
_SEEN_THROUGH = (*_PADS, "DEQUANTIZE", "QUANTIZE", "CAST")
#: float32 keeps 6e-8 of a scale.
RELATIVE = 1e-6


@dataclass(frozen=True)
class Difference:
    """Something that the file does not hold as the Graph says.

    Attributes:
        tensor: the Graph's name of the tensor or weight.
        kind: ``scale``, ``zero point``, ``weights``, ``activation``, ``kernel``, ``stride``,
            ``dilation``, ``padding``, ``resize``, ``options``, ``shape`` or ``structure``.
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


class _Matcher:
    def __init__(self, graph: Graph, model: TFLiteModel) -> None:
        self.graph, self.model = graph, model
        self.named = {tensor.name: tensor.index for tensor in model.tensors}
        self.producers = {i: op for op in model.operators for i in op.outputs}
        self.tensors: dict[str, int] = {}
        self.operators: dict[str, int] = {}
        self.missing: list[Difference] = []

    def run(self) -> Match:
        if self.graph.input in self.named:
            self.tensors[self.graph.input] = self.named[self.graph.input]
        for node in self.graph.nodes:
            self.node(node)
        return Match(self.tensors, self.copies(), self.operators, tuple(self.missing))

    def node(self, node: Node) -> None:
        kind = operator_of(node)
        is_of_boxes = isinstance(node, DetectionPostProcess)  # whose tensor is four of the file
        index = self.named.get(BOXES_OUTPUTS[0] if is_of_boxes else node.name)
        op = self.writer(node, index) if index is not None else None
        if index is None and isinstance(node, Flatten):  # FULLY_CONNECTED flattens its input
            if node.inputs[0] in self.tensors:
                self.tensors[node.name] = self.tensors[node.inputs[0]]
            return
        wanted = {self.tensors.get(name, -1) for name in node.inputs}
        if index is None or op is None or op.name != kind or self.reads(op) != wanted:
            reads = " and ".join(node.inputs)
            message = f"the file has no {kind} that reads {reads}"
            self.missing.append(Difference(node.name, "structure", message))
            return
        self.operators[node.name] = op.index
        self.tensors[node.name] = index
        for name in node.weight_names():
            if name in self.named and self.named[name] in op.inputs:
                self.tensors[name] = self.named[name]

    def writer(self, node: Node, index: int) -> Operator | None:
        """The operator that computes a node's tensor, seen through a change of type or shape."""
        op = self.producers.get(index)
        changed = ("QUANTIZE", "RESHAPE") if isinstance(node, ArgMax) else ("QUANTIZE",)
        if op is not None and op.name in changed:
            op = self.producers.get(op.inputs[0])
        return op

    def reads(self, op: Operator) -> set[int]:
        """The activations that an operator reads, seen through padding and changes of type."""
        return {self.origin(i) for i in op.inputs if i >= 0 and self.is_activation(i)}

    def origin(self, index: int) -> int:
        producer, own = self.producers.get(index), set(self.tensors.values())
        while producer is not None and producer.name in _SEEN_THROUGH and index not in own:
            index = producer.inputs[0]
            producer = self.producers.get(index)
        return index

    def is_activation(self, index: int) -> bool:
        producer = self.producers.get(index)
        if producer is not None and producer.name == "DEQUANTIZE":  # of a weight in float16
            index = producer.inputs[0]
        return not self.model.tensors[index].is_constant

    def copies(self) -> dict[int, str]:
        """What holds the values of the Graph's tensors under another name."""
        found: dict[int, str] = {}
        names = {self.graph.input, *(node.name for node in self.graph.nodes)}
        for node in self.graph.nodes:
            if f"{node.name}{PADDED}" in self.named:
                found[self.named[f"{node.name}{PADDED}"]] = node.inputs[0]
        for name in names:
            for suffix in (IN_FLOAT, BEFORE):
                if f"{name}{suffix}" in self.named:
                    found[self.named[f"{name}{suffix}"]] = name
        ends = dict.fromkeys(self.model.inputs, self.graph.input)
        # A wrong file may have fewer.
        ends |= dict(zip(self.model.outputs, self.graph.outputs, strict=False))
        return found | {i: name for i, name in ends.items() if self.tensors.get(name) != i}


def match(graph: Graph, model: TFLiteModel) -> Match:
    """Finds every node's operator and every tensor.

    Args:
        graph: as it was handed to `edgekit.converters.tflite.write.convert`.
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
                if index >= 0 and name not in self.graph.class_tensors | self.graph.float_tensors:
                    yield from self._quantization(name, index, self.graph.quant[name])

    def _operator(self, node: Node) -> Iterator[Difference]:
        index = self.found.operators[node.name]
        op = self.operators[index]
        if isinstance(node, DetectionPostProcess):
            yield from self._boxes(node, op)
            return
        wanted = FUSED[activation_of(node)]
        if op.fused_activation != wanted:
            self.operators[index] = replace(op, fused_activation=wanted)
            message = f"fused activation {op.fused_activation} in the file, not {wanted}"
            yield Difference(node.name, "activation", message)
        output = self.model.tensors[self.found.tensors[node.name]].shape
        if output != (1, *self.graph.shapes[node.name]):
            message = f"shape {list(output)} in the file, not {[1, *self.graph.shapes[node.name]]}"
            yield Difference(node.name, "shape", message)
        if isinstance(node, SpatialNode):
            yield from self._dilation(node, op)
        if isinstance(node, WindowNode):
            yield from self._geometry(node, op)
        if isinstance(node, AveragePool2D):
            yield from self._windows(node, op, node.kernel)
        if isinstance(node, MaxPool2D):
            yield from self._windows(node, op, (node.kernel, node.kernel))
        if isinstance(node, Resize):
            yield from self._flags(node, op)
        if isinstance(node, WeightedNode):
            for name in node.weight_names():
                if name in self.found.tensors:
                    params = self.graph.quant[name]
                    yield from self._quantization(name, self.found.tensors[name], params)
                    yield from self._weights(name, op, params)
                else:
                    yield Difference(name, "structure", "the file has none")

    def _boxes(self, node: DetectionPostProcess, op: Operator) -> Iterator[Difference]:
        given, wanted = read_options(op), options_of(self.graph, node)
        # float32 in the file; the number of each class is for suppression by class alone.
        if encode_options(given) != encode_options(wanted):
            yield Difference(node.name, "options", f"{given} in the file, not {wanted}")
        (name,) = node.weight_names()
        anchors = self.model.tensors[op.inputs[2]].values()
        if not np.array_equal(anchors, self.graph.weights[name]):
            yield Difference(name, "weights", "other anchors in the file")

    def _dilation(self, node: SpatialNode, op: Operator) -> Iterator[Difference]:
        dilations = {op.options["dilation_h_factor"], op.options["dilation_w_factor"]}
        if dilations != {node.dilation}:
            yield Difference(node.name, "dilation", f"dilation {dilations}, not {node.dilation}")

    def _geometry(self, node: WindowNode, op: Operator) -> Iterator[Difference]:
        strides = {op.options["stride_h"], op.options["stride_w"]}
        if strides != {node.stride}:
            yield Difference(node.name, "stride", f"stride {strides}, not {node.stride}")
        sides = self.graph.shapes[node.inputs[0]][:2]
        wanted = [node.pads(side) for side in sides]
        pad = self.model.producer(op.inputs[0])
        if op.options["padding"] == 0:
            found = [replace(node, padding="same").pads(side) for side in sides]
        elif pad is not None and pad.name in _PADS:
            found = [tuple(row) for row in self.model.tensors[pad.inputs[1]].values()[1:3].tolist()]
        else:
            found = [(0, 0), (0, 0)]
        if found != wanted:
            yield Difference(node.name, "padding", f"padding {found} in the file, not {wanted}")

    def _windows(
        self, node: AveragePool2D | MaxPool2D, op: Operator, kernel: tuple[int, int]
    ) -> Iterator[Difference]:
        sizes = {"kernel": (op.options["filter_height"], op.options["filter_width"])}
        if isinstance(node, AveragePool2D):  # whose windows are side by side
            sizes["stride"] = (op.options["stride_h"], op.options["stride_w"])
        for kind, found in sizes.items():
            if found != kernel:
                message = f"{kind} {list(found)} in the file, not {list(kernel)}"
                yield Difference(node.name, kind, message)

    def _flags(self, node: Resize, op: Operator) -> Iterator[Difference]:
        wanted = tuple(RESIZES[node.method][1].values())
        found = (op.options["align_corners"], op.options["half_pixel_centers"])
        if found != wanted:
            message = f"aligned corners and half pixels {found} in the file, not {wanted}"
            yield Difference(node.name, "resize", message)

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
        differ = stored.astype(np.int64) != values
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
