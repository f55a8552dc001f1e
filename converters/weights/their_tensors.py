"""A network's weights under the names, and in the layout and scale, of an original."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.converters.weights.naming import Layout, Names, places, to_theirs
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, WeightedNode


@dataclass(frozen=True)
class Original:
    """A network of a library.

    Attributes:
        name: of the network there.
        epsilon: of its batch normalizations.
        names: of its weights.
        layout: of its kernels.
    """

    name: str
    epsilon: float
    names: Names
    layout: Layout


def tensors_for(graph: Graph, original: Original) -> dict[str, Array]:
    """The weights of a network under the names, and in the layout and scale, of an original."""
    names = original.names.of(graph)
    scaled = _with_epsilon(graph, original.epsilon)
    found: dict[str, Array] = {}
    for node, _ in places(graph):
        for full in node.weight_names():
            array = to_theirs(original.layout, node, full, scaled.get(full, graph.weights[full]))
            found[names[full]] = np.ascontiguousarray(array)
    return found


def _with_epsilon(graph: Graph, epsilon: float) -> dict[str, Array]:
    """Scales of batch normalizations that have another epsilon, so that nothing changes."""
    found = {}
    for node in graph.nodes:
        if isinstance(node, WeightedNode) and node.batch_norm not in (None, epsilon):
            variance = graph.weights[f"{node.name}/variance"].astype(np.float64)
            factor = np.sqrt((variance + epsilon) / (variance + float(node.batch_norm or 0)))
            gamma = f"{node.name}/gamma"
            found[gamma] = (graph.weights[gamma] * factor).astype(np.float32)
    return found
