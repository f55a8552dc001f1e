"""What a network costs, read off its Graph: parameters, multiply-accumulates, memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import NOT_LEARNED, Node, row_of


@dataclass(frozen=True)
class Cost:
    """Static cost of one inference of one photo.

    Attributes:
        parameters: trainable parameters (moving statistics and anchors are not counted).
        macs: multiply-accumulates of convolutions and fully connected layers.
        peak_activation: elements of the tensors alive at once, at the worst node.
    """

    parameters: int
    macs: int
    peak_activation: int


def cost(graph: Graph) -> Cost:
    """Measures a Graph."""
    parameters = sum(
        array.size
        for name, array in graph.weights.items()
        if name.rpartition("/")[2] not in NOT_LEARNED
    )
    return Cost(parameters, sum(macs(graph, node) for node in graph.nodes), peak_activation(graph))


def _none(graph: Graph, node: Node) -> int:
    return 0


#: Weights that one value of a node's output is a sum over; what has none is not counted.
FAN_INS: dict[type[Node], Callable[[Graph, Any], int]] = {
    nodes.Conv2D: lambda graph, node: node.kernel**2 * graph.shapes[node.inputs[0]][-1],
    nodes.DepthwiseConv2D: lambda graph, node: node.kernel**2,
    nodes.FullyConnected: lambda graph, node: graph.shapes[node.inputs[0]][-1],
    **dict.fromkeys((nodes.Activation, nodes.Add, nodes.WeightedSum, nodes.Mul), _none),
    **dict.fromkeys((nodes.Mean, nodes.AveragePool2D, nodes.MaxPool2D), _none),
    **dict.fromkeys((nodes.Flatten, nodes.Rows, nodes.Concat), _none),
    **dict.fromkeys((nodes.Resize, nodes.Tile, nodes.ArgMax), _none),
    nodes.DetectionPostProcess: _none,
}


def macs(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of one node; 0 for the ones that are not convolutions."""
    return row_of(FAN_INS, node, "cost")(graph, node) * math.prod(graph.shapes[node.name])


def peak_activation(graph: Graph) -> int:
    """Elements of all live tensors while a node runs, at the worst node, batch 1."""
    last = graph.last_uses()
    alive = {graph.input: math.prod(graph.shapes[graph.input])}
    peak = 0
    for node in graph.nodes:
        alive[node.name] = math.prod(graph.shapes[node.name])
        peak = max(peak, sum(alive.values()))
        for name in {name for name in node.inputs if last[name] == node.name}:
            del alive[name]
    return peak
