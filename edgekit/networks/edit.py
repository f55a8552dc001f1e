"""Edits of a network: another classifier, none, no choice, residual branches that begin at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgekit.errors import whole
from edgekit.networks.builder import initial_weights
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Add, FullyConnected


def replace_head(graph: Graph, classes: int, seed: int = 0) -> Graph:
    """Returns the network with a new, freshly drawn classifier of ``classes`` logits."""
    old = graph.nodes[-1]
    if not isinstance(old, FullyConnected):
        raise TypeError(f"the last node of {graph.name} is a {type(old).__name__}")
    head = replace(old, units=whole("classes", classes))
    shapes = {**graph.shapes, head.name: (head.units,)}
    weights = {**graph.weights, **initial_weights([head], shapes, seed)}
    return replace(graph, nodes=(*graph.nodes[:-1], head), shapes=shapes, weights=weights)


def without_classifier(graph: Graph) -> Graph:
    """Returns the network up to the embedding: the mean over the last map, [head channels]."""
    last = graph.nodes[-1]
    weights = {n: a for n, a in graph.weights.items() if n not in last.weight_names()}
    shapes = {name: shape for name, shape in graph.shapes.items() if name != last.name}
    return replace(graph, nodes=graph.nodes[:-1], shapes=shapes, weights=weights)


def up_to_logits(graph: Graph) -> Graph:
    """Returns the network without what chooses classes, through which no gradient goes."""
    nodes = tuple(node for node in graph.nodes if node.name not in graph.class_tensors)
    shapes = {n: shape for n, shape in graph.shapes.items() if n not in graph.class_tensors}
    return replace(graph, nodes=nodes, shapes=shapes)


def start_as_shortcuts(graph: Graph) -> Graph:
    """Returns a freshly drawn network whose residual branches all begin at zero.

    The normalization that ends a branch starts with gamma 0, so that a deep network learns
    like a shallow one at first (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
    """
    inputs = {node.name: node.inputs for node in graph.nodes}
    ends = {
        f"{node.inputs[0]}/gamma"
        for node in graph.nodes
        if isinstance(node, Add) and _begins_at(node.inputs[0], node.inputs[1], inputs)
    }
    weights = {name: a * (name not in ends) for name, a in graph.weights.items()}
    return graph.with_weights(weights)


def _begins_at(branch: str, shortcut: str, inputs: Mapping[str, Sequence[str]]) -> bool:
    """Whether all that a branch reads is a shortcut; sums of other maps have none."""
    seen, ahead = {branch}, [branch]
    while ahead:
        for name in inputs.get(ahead.pop(), ()):
            if name not in inputs:  # the network's input
                return False
            if name != shortcut and name not in seen:
                seen.add(name)
                ahead.append(name)
    return True
