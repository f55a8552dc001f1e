"""Finds the operator at which a file leaves the quantized network that it was written from.

Each operator of the network is given what the file itself computed before it, and its result is
compared with what the file computed there. So errors do not add up, and a fault shows at its own
operator whatever runs the file: LiteRT, ONNX Runtime or OpenVINO.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgekit.data.images import Pixels
from edgekit.networks.graph import Graph
from edgekit.parity.executions import Array, prepared_input
from edgekit.runtimes.open import open_trace
from edgekit.system.paths import StrPath

if TYPE_CHECKING:
    from torch import Tensor

#: Mean difference in steps of the operator's output that rounding and coarser kernels explain:
#: the operators of Lite0's and V2-B0's files have 0.0 to 0.51 in each of the three formats, while a
#: stem with 7-bit weights has 1.8.
LARGEST_ERROR = 1.0


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
    trace = open_trace(path, graph)
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
    """By traced tensor, the mean difference from what the network makes of the same inputs.

    What the file does not show it does not round either: OpenVINO's swish is one operator, whose
    sigmoid stays float inside.
    """
    import torch

    from edgekit.calibration.simulate import Simulation
    from edgekit.networks.quantization import INT8_MAX, INT8_MIN

    simulation = Simulation(graph).eval()
    values: dict[str, Tensor] = {graph.input: prepared_input(graph, photo[np.newaxis])}
    last, shown = graph.last_uses(), {graph.input, *found}
    for node in graph.nodes:
        with torch.inference_mode():
            inputs = [
                simulation.round(name, values[name]) if name in shown else values[name]
                for name in node.inputs
            ]
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
