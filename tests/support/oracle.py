"""One Graph as a file of our writer and as one of TensorFlow's converter, in every scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from oracle_files import given_biases, with_biases, with_borders
from places import BENCHMARKS

from edgekit.calibration.activations import FEW_WEIGHTS
from edgekit.calibration.mixed import keep_float
from edgekit.calibration.quantize import choose_ranges, collect, quantize
from edgekit.calibration.ranges import Range
from edgekit.converters.tflite.file import TFLiteModel, parse
from edgekit.converters.tflite.rows import operator_of
from edgekit.converters.tflite.write import convert
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Activation, Flatten, FullyConnected, Mean, WeightedNode
from edgekit.networks.quantization import SIGMOID_RANGES, bias_params, reals, weight_params

#: LiteRT's default, which is XNNPACK where it can, and its own kernels.
KERNELS = (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


@dataclass(frozen=True)
class Subject:
    """A network to be written.

    Attributes:
        graph: float, prepared.
        batch: inputs to take ranges from and to run.
        ranges: of tensors that do not have those of their values.
        kept: tensors that mixed precision leaves in float.
        per_channel: whether a fully connected layer has a scale for each channel, which the
            Edge TPU does not take and the converter prefers.
    """

    graph: Graph
    batch: NDArray[np.float32]
    ranges: Mapping[str, Range] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    per_channel: bool = False


@dataclass(frozen=True)
class Pair:
    """Our file and the converter's."""

    ours: bytes
    theirs: bytes


def tensorflow_convert(graph: Graph, **options: Any) -> bytes:
    """What TensorFlow's converter makes of a Graph."""
    return _load_converter()(graph, **options)


@cache
def _load_converter() -> Callable[..., bytes]:
    """`benchmarks/tensorflow_converter.py`, which is in no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        from tensorflow_converter import convert as convert_there
    return convert_there


def write_float(subject: Subject, io: str) -> Pair:
    return Pair(convert(subject.graph), tensorflow_convert(subject.graph))


def write_half(subject: Subject, io: str) -> Pair:
    theirs = tensorflow_convert(subject.graph, scheme="fp16")
    return Pair(convert(subject.graph, half=True), theirs)


def write_dynamic(subject: Subject, io: str) -> Pair:
    """The converter computes the scales of kernels itself: it is given numbers on their grid."""
    kernels = {
        name: params
        for name, params in _kernel_params(subject).items()
        if subject.graph.weights[name].size >= FEW_WEIGHTS
    }
    theirs = tensorflow_convert(
        _on_grid(subject.graph, kernels), scheme="w8-dynamic", per_channel=subject.per_channel
    )
    return Pair(convert(replace(subject.graph, quant=kernels)), theirs)


def write_int8(subject: Subject, io: str) -> Pair:
    graph = in_int8(subject)
    return Pair(convert(graph, io=io), tensorflow_convert(graph, io=io))


def write_mixed(subject: Subject, io: str) -> Pair:
    graph = keep_float(in_int8(subject), subject.kept)
    return Pair(convert(graph, io=io), with_borders(tensorflow_convert(graph, io=io)))


def write_int16(subject: Subject, io: str) -> Pair:
    """The converter chooses the ranges of activations itself: ours takes its file's scales.

    It computes the integers of biases in float32, whose 24 bits are too few for large ones; ours
    are the nearest. So its file is given ours, once both are what they should be.
    """
    graph = _on_grid(subject.graph, _kernel_params(subject))
    theirs = tensorflow_convert(
        graph,
        io=io,
        scheme="w8a16-static",
        batches=[subject.batch],
        per_channel=subject.per_channel,
    )
    quant = _params_of(graph, parse(theirs))
    ours = convert(replace(graph, quant=quant), io=io)
    exact = [
        graph.weights[name].astype(np.float64) / params.scale
        for name, params in quant.items()
        if name.endswith("/bias")
    ]
    for own, other, wanted in zip(given_biases(ours), given_biases(theirs), exact, strict=True):
        assert (np.abs(own - wanted) <= 0.5).all()
        assert (np.abs(other - wanted) <= 0.5 + np.abs(wanted) * 2.0**-22).all()
    return Pair(ours, with_biases(theirs, given_biases(ours)))


#: Schemes with the types that their files' ends may have.
SCHEMES: dict[str, tuple[Callable[[Subject, str], Pair], tuple[str, ...]]] = {
    "fp32": (write_float, ("float32",)),
    "fp16": (write_half, ("float32",)),
    "w8-dynamic": (write_dynamic, ("float32",)),
    "w8a8-static": (write_int8, ("int8", "uint8", "float32")),
    "w8a8-mixed": (write_mixed, ("int8", "uint8", "float32")),
    "w8a16-static": (write_int16, ("int16", "float32")),
}


def in_int8(subject: Subject) -> Graph:
    """The network in int8, with the ranges of its values on the batch.

    The converter is given ranges and computes scales from them, in float32. Scales of few bits
    come through; others are off in the last bit, so that one sum in some 10,000 rounds elsewhere.
    """
    graph = subject.graph
    sigmoids = [n.name for n in graph.nodes if isinstance(n, Activation) and n.kind == "sigmoid"]
    histograms = collect(graph, [subject.batch], skip=sigmoids)
    fixed = dict.fromkeys(sigmoids, SIGMOID_RANGES["int8"]) | dict(subject.ranges)
    graph = quantize(graph, choose_ranges(histograms, "mse") | fixed)
    quant = {name: _with_short_scales(params) for name, params in graph.quant.items()}
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            kernel, scale = quant[f"{node.name}/kernel"], quant[node.inputs[0]].scale[0]
            quant[f"{node.name}/bias"] = bias_params(scale, kernel)
    return replace(graph, quant=quant)


def _kernel_params(subject: Subject) -> dict[str, QuantParams]:
    """Parameters of all kernels, by their values alone."""
    found = {}
    for node in subject.graph.nodes:
        if isinstance(node, WeightedNode):
            kernel = subject.graph.weights[f"{node.name}/kernel"]
            per_tensor = isinstance(node, FullyConnected) and not subject.per_channel
            bias = np.zeros(kernel.shape[-1])
            params = weight_params(kernel, bias, 1.0, per_tensor=per_tensor)
            found[f"{node.name}/kernel"] = _with_short_scales(params)
    return found


def _with_short_scales(params: QuantParams) -> QuantParams:
    """The nearest scales of 16 bits: 255 steps of them are exact in float32."""
    mantissas, exponents = np.frexp(params.scale)
    scales = np.ldexp(np.rint(mantissas * 2**16), exponents - 16)
    return replace(params, scale=tuple(float(scale) for scale in scales))


def _on_grid(graph: Graph, kernels: Mapping[str, QuantParams]) -> Graph:
    """The float network with rounded kernels."""
    rounded = {name: reals(graph.weights[name], params) for name, params in kernels.items()}
    return replace(graph, weights={**graph.weights, **rounded})


def _params_of(graph: Graph, model: TFLiteModel) -> dict[str, QuantParams]:
    """The parameters that a file of the converter has for a Graph's tensors and weights."""

    def params(index: int, axis: int | None = None) -> QuantParams:
        tensor = model.tensors[index]
        channels = axis if len(tensor.scales) > 1 else None
        return QuantParams(tensor.scales, tensor.zero_points, tensor.dtype, channels)

    between = ("PAD", "RESHAPE", "QUANTIZE", "DEQUANTIZE")
    operators = iter([op for op in model.operators if op.name not in between])
    first = next((op for op in model.operators if op.name == "QUANTIZE"), None)
    quant = {graph.input: params(first.outputs[0] if first else model.inputs[0])}
    for node in graph.nodes:
        if _is_left_out(graph, node):
            quant[node.name] = quant[node.inputs[0]]
            continue
        operator = next(operators)
        assert operator.name == operator_of(node)
        quant[node.name] = params(operator.outputs[0])
        if isinstance(node, WeightedNode):
            kernel = f"{node.name}/kernel"
            quant[kernel] = params(operator.inputs[1], graph.weights[kernel].ndim - 1)
            scale = quant[node.inputs[0]].scale[0]
            bias = bias_params(scale, quant[kernel])
            quant[f"{node.name}/bias"] = replace(bias, dtype="int64")
    assert next(operators, None) is None
    return quant


def _is_left_out(graph: Graph, node: Any) -> bool:
    """Whether the converter has no operator for a node, which only passes its input on."""
    same = graph.shapes[node.name] == graph.shapes[node.inputs[0]]
    return isinstance(node, Flatten) or (isinstance(node, Mean) and same)


def feed(subject: Subject, io: str) -> NDArray[Any]:
    """Inputs for the files: the whole range of an integer type."""
    if io == "float32":
        return subject.batch
    limits = np.iinfo(io)
    rng = np.random.default_rng(0)
    return rng.integers(limits.min, limits.max, subject.batch.shape, io, endpoint=True)


def run(contents: bytes, batch: NDArray[Any], kernels: OpResolverType) -> NDArray[Any]:
    """The raw outputs of LiteRT, photo by photo."""
    interpreter = Interpreter(model_content=contents, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for one in batch:
        interpreter.set_tensor(source["index"], one[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"])[0])
    return np.array(outputs)
