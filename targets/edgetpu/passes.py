"""Rewrites of a prepared Graph that suit the Edge TPU; none changes what it computes in reals.

They are caution. Of another's file `edgekit.targets.edgetpu.operators` counts as mapped what
nothing shows to be left out; of our own network every operator shall be one that was seen mapped.

A pool keeps its input's scale, where a MEAN has one of its own. So a network has pools only where
the Edge TPU needs them, or where Google's own models for it have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, AveragePool2D, Flatten, Mean, Mul, Node
from edgekit.targets.edgetpu.operators import MAX_MEAN

#: Every published variant halves its maps this often, so that at multiples of 2**5 all sides are
#: even where they are large.
STRIDE = 32

Named = tuple[Node, tuple[int, ...]]


def prepare(graph: Graph) -> Graph:
    """Applies what suits a prepared network (`edgekit.networks.passes.prepare`).

    The last mean becomes a pool in networks without squeeze-excite only: those are the ones that
    Google wrote with pools, for TFLite and the Edge TPU.

    Raises:
        UsageError: a mean is over too large a map that cannot be divided.
    """
    graph = split_large_means(graph)
    gated = any(isinstance(node, Activation | Mul) for node in graph.nodes)
    return graph if gated else pool_globally(graph)


def pool_globally(graph: Graph) -> Graph:
    """Writes the mean over the last map as an average pool, as Google's Lite and EdgeTPU models do.

    Source: ``local_pooling=True`` in their builders, ``lite/efficientnet_lite_builder.py`` and
    ``edgetpu/efficientnet_edgetpu_builder.py`` of tensorflow/tpu.
    """

    def as_pool(mean: Mean) -> list[Named]:
        height, width, channels = graph.shapes[mean.inputs[0]]
        pool = AveragePool2D(
            name=f"{mean.name}_average", inputs=mean.inputs, kernel=(height, width)
        )
        flat = Flatten(name=mean.name, inputs=(pool.name,))
        return [(pool, (1, 1, channels)), (flat, (channels,))]

    return _rewrite_means(graph, lambda mean: None if mean.keep_dims else as_pool(mean))


def split_large_means(graph: Graph, limit: int = MAX_MEAN) -> Graph:
    """Splits each mean over a large map into an average pool and the mean of what it leaves.

    Args:
        graph: a network.
        limit: rows times columns that one operator may take the mean of.

    Raises:
        UsageError: no pool divides such a map so that neither its windows nor what they leave is
            larger than ``limit``.
    """

    def split(mean: Mean) -> list[Named] | None:
        height, width, channels = graph.shapes[mean.inputs[0]]
        if height * width <= limit:
            return None
        side = _window(height, width, limit)
        if side is None:
            raise _indivisible(graph, mean, limit)
        pool = AveragePool2D(name=f"{mean.name}_pool", inputs=mean.inputs, kernel=(side, side))
        rest = replace(mean, inputs=(pool.name,))
        shape = (height // side, width // side, channels)
        return [(pool, shape), (rest, graph.shapes[mean.name])]

    return _rewrite_means(graph, split)


def _rewrite_means(graph: Graph, rewrite: Callable[[Mean], list[Named] | None]) -> Graph:
    """Puts nodes, with their shapes, in the place of means; the last one has the mean's name."""
    nodes: list[Node] = []
    shapes = dict(graph.shapes)
    for node in graph.nodes:
        new = rewrite(node) if isinstance(node, Mean) else None
        nodes += [node] if new is None else [named for named, _ in new]
        shapes |= {named.name: shape for named, shape in new or ()}
    return replace(graph, nodes=tuple(nodes), shapes=shapes)


def _window(height: int, width: int, limit: int) -> int | None:
    """The side of the smallest square windows that serve; None where none do."""
    sides = range(2, math.isqrt(limit) + 1)
    dividing = (side for side in sides if height % side == width % side == 0)
    return next((side for side in dividing if height * width <= limit * side**2), None)


def _indivisible(graph: Graph, mean: Mean, limit: int) -> UsageError:
    height, width, _ = graph.shapes[mean.inputs[0]]
    below = max(graph.resolution // STRIDE, 1) * STRIDE
    return UsageError(
        f"no file shows the Edge TPU take the mean '{mean.name}' over a map of {height}x{width}",
        cause=f"it is over more than {limit} positions, and no smaller pools divide its sides",
        hint=f"a resolution of {below} or {below + STRIDE}",
    )
