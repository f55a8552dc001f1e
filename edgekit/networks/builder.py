"""What every family of networks is built with: freshly drawn weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.networks.nodes import (
    Array,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Node,
    Shape,
    row_of,
)


def initial_weights(
    nodes: Sequence[Node], shapes: Mapping[str, Shape], seed: int | None
) -> dict[str, Array]:
    """Draws weights as the released code does: N(0, 2/fan_out), dense U(±1/sqrt(1000))."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    for node in nodes:
        for name in node.weight_names():
            suffix = name.rpartition("/")[2]
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
