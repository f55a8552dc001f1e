"""What the writers share about resizes: the places of nearest pixels, and the types of classes."""

from __future__ import annotations

import numpy as np

from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import nearest_places

#: Classes that a byte numbers.
MOST_IN_A_BYTE = 256


def divides_alike(before: int, after: int, ratio: np.float32 | None = None) -> bool:
    """Whether a division by the ratio of the sides finds the pixels that are wanted.

    ONNX Runtime and OpenVINO divide in float32, where torch and TFLite multiply
    (`edgekit.networks.nodes.nearest_places`).

    Args:
        before: pixels of a line.
        after: pixels of the resized line.
        ratio: of them, where it is given as such.
    """
    ratio = np.float32(after) / np.float32(before) if ratio is None else ratio
    places = np.floor(np.arange(after, dtype=np.float32) / ratio)
    return bool((places == nearest_places(before, after)).all())


def class_dtype(graph: Graph, name: str, chosen: str, wide: str) -> str:
    """The type of a tensor of classes: those that a format's ArgMax gives no resize takes.

    Args:
        graph: the network.
        name: of the tensor.
        chosen: the type that an ArgMax gives.
        wide: that in which more than `MOST_IN_A_BYTE` classes are resized; others are uint8.
    """
    node = graph.node(name)
    if isinstance(node, nodes.ArgMax):
        return chosen
    while not isinstance(node, nodes.ArgMax):
        node = graph.node(node.inputs[0])
    return "uint8" if graph.shapes[node.inputs[0]][-1] <= MOST_IN_A_BYTE else wide
