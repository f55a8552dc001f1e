"""The blocks of a network: the parts that are learned one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, Add, Concat, Node, SpatialNode, WeightedNode

#: Weighted layers that a shortcut or a gate may span and still be inside a block. MBConv with
#: squeeze-excite has 5; what spans more, such as a U-Net's maps, leads from block to block.
LARGEST = 6


@dataclass(frozen=True)
class Block:
    """Neighbouring nodes of a network.

    Attributes:
        nodes: in their order.
        inputs: tensors of earlier blocks, or the network's input, that they read.
        outputs: tensors that later blocks read, or that are the network's outputs.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def find_blocks(graph: Graph) -> tuple[Block, ...]:
    """Divides a network where one linear tensor leads on: behind projections, sums and concats.

    A branch and its shortcut, a swish and a gate with what they multiply are in one block. Where
    nothing is linear a block ends after `LARGEST` weighted layers.

    Args:
        graph: prepared (`edgekit.networks.passes.prepare`).

    Returns:
        Blocks that have every node once, in order, each with a weighted layer if the network has
        one.
    """
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    spanned = _spanned(graph)
    parts: list[list[Node]] = [[]]
    for node, inside in zip(graph.nodes, spanned, strict=True):
        parts[-1].append(node)
        layers = sum(isinstance(one, WeightedNode) for one in parts[-1])
        ends = _is_linear(node, readers.get(node.name, ())) or layers >= LARGEST
        if ends and layers and not inside:
            parts.append([])
    if len(parts) > 1 and not any(isinstance(node, WeightedNode) for node in parts[-1]):
        rest = parts.pop()
        parts[-1] += rest
    return tuple(_with_ends(part, readers) for part in parts)


def _is_linear(node: Node, readers: Sequence[Node]) -> bool:
    """Whether no activation is, or follows, at what a node writes."""
    if any(isinstance(reader, Activation) for reader in readers):
        return False
    if isinstance(node, SpatialNode):
        return node.activation == "linear"
    return isinstance(node, (WeightedNode, Add, Concat))


def _spanned(graph: Graph) -> list[bool]:
    """By node, whether a shortcut, a swish or a gate passes it on its way to a later node."""
    place = {graph.input: -1} | {node.name: index for index, node in enumerate(graph.nodes)}
    weighted = np.cumsum([0, *(isinstance(node, WeightedNode) for node in graph.nodes)])
    spanned = [False] * len(graph.nodes)
    for end, node in enumerate(graph.nodes):
        start = min(place[name] for name in node.inputs)
        # The node itself may be weighted: what it reads by two ways is before it.
        if len(node.inputs) > 1 and weighted[end] - weighted[start + 1] <= LARGEST:
            spanned[start + 1 : end] = [True] * (end - start - 1)
    return spanned


def _with_ends(nodes: Sequence[Node], readers: dict[str, list[Node]]) -> Block:
    own = {node.name for node in nodes}
    inputs = dict.fromkeys(name for node in nodes for name in node.inputs if name not in own)
    outputs = [
        name
        for name in own
        if name not in readers or any(reader.name not in own for reader in readers[name])
    ]
    return Block(tuple(nodes), tuple(inputs), tuple(sorted(outputs)))
