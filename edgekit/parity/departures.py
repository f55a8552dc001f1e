"""Finds the operator at which a file leaves the quantized network that it was written from.

Each operator of the network is given what the file itself computed before it, and its result is
compared with what the file computed there. So errors do not add up, and a fault shows at its own
operator whatever runs the file: LiteRT, ONNX Runtime or OpenVINO.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.data.images import Pixels
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.parity.executions import Array, Kernels, dequantize, prepared_input
from edgekit.runtimes.open import open_classifier
from edgekit.system.paths import StrPath

if TYPE_CHECKING:
    from torch import Tensor

#: Mean difference in steps of the operator's output that rounding and coarser kernels explain:
#: the operators of Lite0's and V2-B0's files have 0.0 to 0.51 in each of the three formats, while a
#: stem with 7-bit weights has 1.8.
LARGEST_ERROR = 1.0

#: The reals of a network's tensors, NCHW or [1, n], by the Graph's names, for one photo.
Trace = Callable[[Pixels], Mapping[str, Array]]


@dataclass(frozen=True)
class Departure:
    """An operator of a file that does not compute what the network says.

    Attributes:
        tensor: the Graph's name of its output.
        operator: kind of the Graph's node.
        steps: mean difference of its output, in steps of that output's integers.
        first: whether it is the first beyond `LARGEST_ERROR`; else none is, and this one is the
            furthest off.
    """

    tensor: str
    operator: str
    steps: float
    first: bool


def find_departure(path: StrPath, graph: Graph, photos: Pixels) -> Departure | None:
    """Compares a file with its network, operator by operator on equal inputs.

    Args:
        path: the .tflite, .onnx or .xml file.
        graph: the quantized network that it was written from.
        photos: uint8 [n, height, width, 3]; a few are enough.

    Returns:
        None where the file shows no tensor of the network.

    Raises:
        UsageError: the file cannot be read, or is of another kind.
        MissingToolError: its runtime is not installed.
        EdgekitError: the runtime cannot run it.
    """
    file = Path(path)
    if file.suffix.lower() not in _TRACERS:
        hint = f"give a file that ends in {', '.join(_TRACERS)}"
        raise UsageError(f"{path} is of no kind that can be traced", hint=hint)
    trace = _TRACERS[file.suffix.lower()](file, graph)
    errors: dict[str, list[float]] = {}
    for photo in photos:
        for name, steps in _errors(graph, trace(photo), photo):
            errors.setdefault(name, []).append(steps)
    means = {name: float(np.mean(steps)) for name, steps in errors.items()}
    if not means:
        return None
    beyond = [name for name, steps in means.items() if not steps <= LARGEST_ERROR]
    name = beyond[0] if beyond else max(means, key=lambda name: means[name])
    node = next(node for node in graph.nodes if node.name == name)
    return Departure(name, type(node).__name__, means[name], bool(beyond))


def _errors(graph: Graph, found: Mapping[str, Array], photo: Pixels) -> Iterator[tuple[str, float]]:
    """By traced tensor, the mean difference from what the network makes of the same inputs."""
    import torch

    from edgekit.calibration.simulate import Simulation
    from edgekit.networks.quantization import INT8_MAX, INT8_MIN

    simulation = Simulation(graph).eval()
    values: dict[str, Tensor] = {graph.input: prepared_input(graph, photo[np.newaxis])}
    last = graph.last_uses()
    for node in graph.nodes:
        with torch.inference_mode():
            inputs = [simulation.round(name, values[name]) for name in node.inputs]
            wanted = simulation.network.run_node(node, inputs)
        values[node.name] = wanted
        if node.name in found:
            values[node.name] = torch.from_numpy(found[node.name])
            if (params := graph.quant.get(node.name)) is not None:
                scale, zero_point = params.scale[0], params.zero_point[0]
                ends = ((INT8_MIN - zero_point) * scale, (INT8_MAX - zero_point) * scale)
                apart = values[node.name].clamp(*ends) - wanted.clamp(*ends)
                yield node.name, float(apart.abs().mean()) / scale
        for name in {name for name in node.inputs if last[name] == node.name}:
            del values[name]


def _trace_tflite(path: Path, graph: Graph) -> Trace:
    from edgekit.converters.tflite.file import parse, read_bytes
    from edgekit.converters.tflite.matching import match

    contents = read_bytes(path)
    model = parse(contents, name=str(path))
    found = match(graph, model).tensors
    feed, kernels = open_classifier(path).feed, Kernels(contents)

    def trace(photo: Pixels) -> dict[str, Array]:
        kernels.run([feed(photo)])
        values = kernels.activations(model)
        reals = {}
        for node in graph.nodes:
            if (index := found.get(node.name)) in values:
                tensor = model.tensors[index]
                real = dequantize(values[index], tensor.scale, tensor.zero_point)
                reals[node.name] = np.ascontiguousarray(
                    real.transpose(0, 3, 1, 2) if real.ndim == 4 else real
                )
        return reals

    return trace


def _trace_onnx(path: Path, graph: Graph) -> Trace:
    import onnx

    from edgekit.runtimes.onnx import open_session

    classifier = open_classifier(path)
    model = onnx.load(path)
    ends = {output.name for output in model.graph.output}
    written = {name for node in model.graph.node for name in node.output}
    names = [node.name for node in graph.nodes if node.name in written]
    for name in names:
        if name not in ends:
            value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(value)
    session, _ = open_session(model.SerializeToString(), path, threads=1)
    (image,) = session.get_inputs()

    def trace(photo: Pixels) -> dict[str, Array]:
        fed = {image.name: classifier.feed(photo)}
        # Asked for no names, a session gives all outputs.
        return dict(zip(names, session.run(names, fed), strict=True)) if names else {}

    return trace


def _trace_openvino(path: Path, graph: Graph) -> Trace:
    from edgekit.runtimes.openvino import compile_model

    classifier = open_classifier(path)

    def add_outputs(model: Any) -> None:
        written = {
            name for op in model.get_ops() for out in op.outputs() for name in out.get_names()
        }
        ends = {name for out in model.outputs for name in out.get_names()}
        inner = [node.name for node in graph.nodes if node.name in written - ends]
        if inner:
            model.add_outputs(inner)

    compiled = compile_model(path, change=add_outputs)
    names = {node.name for node in graph.nodes}
    places = [
        (name, place)
        for place, output in enumerate(compiled.outputs)
        for name in sorted(names & output.get_names())
    ]

    def trace(photo: Pixels) -> dict[str, Array]:
        results = compiled(classifier.feed(photo))
        return {name: np.array(results[place], np.float32) for name, place in places}

    return trace


_TRACERS: dict[str, Callable[[Path, Graph], Trace]] = {
    ".tflite": _trace_tflite,
    ".onnx": _trace_onnx,
    ".xml": _trace_openvino,
}
