"""What every family of networks is built with: shapes that follow, freshly drawn weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Array,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Node,
    Shape,
    row_of,
)


class GraphBuilder:
    """Writes nodes one after the other and keeps the shapes beside them.

    Args:
        side: of the square input in pixels; or its height and width.

    Attributes:
        nodes: so far.
        shapes: of the input and of what the nodes write, NHWC without the batch.
    """

    def __init__(self, side: int | tuple[int, int]) -> None:
        height, width = (side, side) if isinstance(side, int) else side
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {"input": (height, width, 3)}

    def add(self, node: Node) -> str:
        """Appends a node, and returns the name of its output."""
        self.nodes.append(node)
        self.shapes[node.name] = output_shape(node, [self.shapes[name] for name in node.inputs])
        return node.name

    def size(self, name: str) -> tuple[int, int]:
        """Rows and columns of a map."""
        return self.shapes[name][0], self.shapes[name][1]

    def graph(self, name: str, origin: Mapping[str, Any], seed: int | None) -> Graph:
        """What was written, with weights as `initial_weights` draws them."""
        weights = initial_weights(self.nodes, self.shapes, seed)
        return Graph(name, "input", tuple(self.nodes), self.shapes, weights, origin=origin)


def output_shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """The shape of what a node writes, for those of what it reads."""
    return row_of(SHAPES, node, "shape")(node, *inputs)


def _strided(shape: Shape, stride: int) -> Shape:
    return tuple(math.ceil(side / stride) for side in shape[:2])


def _concatenated(*shapes: Shape) -> Shape:
    first = shapes[0]
    if len(first) == 2:
        return (sum(shape[0] for shape in shapes), first[1])
    return (*first[:2], sum(shape[-1] for shape in shapes))


#: The shape of what a node writes, for the shapes of what it reads, all without the batch.
SHAPES: dict[type[Node], Callable[..., Shape]] = {
    Conv2D: lambda node, x: (*_strided(x, node.stride), node.filters),
    DepthwiseConv2D: lambda node, x: (*_strided(x, node.stride), x[-1]),
    FullyConnected: lambda node, x: (node.units,),
    nodes.Activation: lambda node, x: x,
    nodes.Add: lambda node, x, shortcut: x,
    nodes.WeightedSum: lambda node, x, *others: x,
    nodes.Mul: lambda node, x, gate: x,
    nodes.Mean: lambda node, x: (1, 1, x[-1]) if node.keep_dims else x[-1:],
    nodes.AveragePool2D: lambda node, x: (
        *(side // length for side, length in zip(x, node.kernel, strict=False)),
        x[-1],
    ),
    nodes.MaxPool2D: lambda node, x: (*_strided(x, node.stride), x[-1]),
    nodes.Flatten: lambda node, x: (math.prod(x),),
    nodes.Rows: lambda node, x: (math.prod(x) // node.columns, node.columns),
    nodes.Concat: lambda node, *xs: _concatenated(*xs),
    nodes.Resize: lambda node, x: (*node.size, x[-1]),
    nodes.Tile: lambda node, x: (*node.size, x[-1]),
    nodes.ArgMax: lambda node, x: (*x[:2], 1) if node.keep_dims else x[:2],
    nodes.DetectionPostProcess: lambda node, offsets, scores: (node.max_detections, 6),
}


def initial_weights(
    layers: Sequence[Node], shapes: Mapping[str, Shape], seed: int | None
) -> dict[str, Array]:
    """Draws weights as the released code does: N(0, 2/fan_out), dense U(±1/sqrt(1000))."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    for node in layers:
        for name in node.weight_names():
            suffix = name.rpartition("/")[2]
            if name in weights:  # another node's as well
                continue
            if suffix == "weights":
                weights[name] = np.full(len(node.inputs), seed is not None, np.float32)
                continue
            shape = row_of(KERNELS, node, "kernel")(node, shapes[node.inputs[0]][-1])
            if suffix != "kernel":
                shape = shape[-1:]
            if seed is None:
                weights[name] = np.broadcast_to(np.float32(0), shape)
            elif suffix == "kernel":
                weights[name] = _draw(node, shape, rng).astype(np.float32)
            else:
                weights[name] = np.full(shape, suffix in ("gamma", "variance"), np.float32)
    return weights


#: The shape of a node's kernel, for the channels that the node reads.
KERNELS: dict[type[Node], Callable[[Any, int], Shape]] = {
    Conv2D: lambda node, depth: (node.kernel, node.kernel, depth, node.filters),
    DepthwiseConv2D: lambda node, depth: (node.kernel, node.kernel, depth),
    FullyConnected: lambda node, depth: (depth, node.units),
}


def _draw(node: Node, shape: Shape, rng: np.random.Generator) -> Array:
    if isinstance(node, FullyConnected):
        # The released code takes 1/sqrt(units), for 1000 classes. Few classes would get first
        # logits so large that training starts far from even odds.
        limit = 1 / math.sqrt(max(node.units, 1000))
        return rng.uniform(-limit, limit, shape)
    # Each of a depthwise kernel's outputs has a group of its own.
    fan_out = math.prod(shape[:2]) * (shape[-1] if isinstance(node, Conv2D) else 1)
    return rng.normal(0, math.sqrt(2 / fan_out), shape)
