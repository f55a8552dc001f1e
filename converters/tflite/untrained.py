"""An int8 file of a network that nobody has trained: what compilers need to say what it costs.

No photo is run through it: tensors get ranges as wide as those of trained networks, which is all
that a compiler reads of them. What such a file answers is meaningless.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgekit.calibration.quantize import fixed_ranges, quantize
from edgekit.converters.tflite.write import convert
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import WeightedNode
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import scale_owners

#: Of tensors that have none of their own: the commonest of a trained Lite0 and B0.
RANGES = {"relu6": (0.0, 6.0), "relu": (0.0, 6.0)}
OTHER_RANGE = (-6.0, 6.0)
#: Trained kernels have heavier tails than normal ones, and int8 leaves them less entropy: what a
#: compiler makes of Laplace's is within 3 % of what it makes of a trained Lite0's.
SEED = 1


def write_untrained(
    spec: ModelSpec,
    resolution: int | None = None,
    *,
    classes: int = 1000,
    io: str = "uint8",
    rewrite: Callable[[Graph], Graph] = lambda graph: graph,
) -> bytes:
    """Returns the int8 .tflite file of a variant with random weights and plausible ranges.

    Args:
        spec: the variant.
        resolution: side of its input in pixels; its own by default.
        classes: how many logits.
        io: type of its input and output.
        rewrite: what a target does to the network before it is quantized.

    Raises:
        UsageError: as `build_graph` and ``rewrite``.
    """
    graph = prepare(build_graph(spec, classes=classes, resolution=resolution, seed=None))
    graph = replace(graph, weights=_draw(graph))
    graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
    graph = rewrite(graph)
    without = scale_owners(graph).keys() | graph.class_tensors
    ranges = {
        node.name: RANGES.get(_activation(node), OTHER_RANGE)
        for node in graph.nodes
        if node.name not in without
    }
    return convert(quantize(graph, ranges | fixed_ranges(graph, mean, std)), io=io)


def _activation(node: object) -> str:
    return str(getattr(node, "activation", ""))


def _draw(graph: Graph) -> dict[str, np.ndarray]:
    """Kernels after Laplace, scaled to their inputs; small biases, as zeros may be left out."""
    rng = np.random.default_rng(SEED)
    weights = dict(graph.weights)
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            shape = weights[f"{node.name}/kernel"].shape
            scale = math.sqrt(shape[-1] / math.prod(shape))
            weights[f"{node.name}/kernel"] = rng.laplace(0, scale, shape).astype(np.float32)
            shape = weights[f"{node.name}/bias"].shape
            weights[f"{node.name}/bias"] = rng.normal(0, 0.1, shape).astype(np.float32)
    return weights
