"""A narrow network with two outputs, rows of three levels: what a detector's Graph is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from map_graphs import quantized
from numpy.typing import NDArray

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Add,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Resize,
    Rows,
    WeightedSum,
)
from edgekit.networks.passes import prepare

SIDE, CHANNELS, ANCHORS, CLASSES = 20, 8, 2, 3
#: Of three levels of 10, 5 and 3 pixels: the last is resized to a side that is not twice its own.
ROWS = ANCHORS * (10 * 10 + 5 * 5 + 3 * 3)
COLUMNS = 4 + CLASSES
WEIGHTS = (1.0, 0.6, -0.2)


def detector(
    fusion: str = "sum",
    padding: str = "same",
    activation: str = "relu6",
    classes: int = CLASSES,
    seed: int = 0,
) -> Graph:
    """The network as it is trained.

    Two levels of convolutions and one of a pool; each but the last fused with those above it; heads
    whose kernels all levels share, each with normalizations of its own.

    Args:
        fusion: ``sum`` or ``weighted``.
        padding: of windows.
        activation: of all layers, and of what is fused.
        classes: how many.
        seed: of the weights.
    """
    b = GraphBuilder(SIDE)
    layer = {"padding": padding, "kernel": 3, "stride": 2, "filters": CHANNELS, "batch_norm": 1e-3}
    first = b.add(Conv2D(name="first", inputs=("input",), activation=activation, **layer))
    second = b.add(Conv2D(name="second", inputs=(first,), activation=activation, **layer))
    pool = MaxPool2D(name="third", inputs=(second,), kernel=3, stride=2, padding=padding)
    third = b.add(pool)

    def fuse(name: str, *maps: str) -> str:
        if fusion == "weighted":
            return b.add(WeightedSum(name=name, inputs=maps, activation=activation))
        for number, other in enumerate(maps[1:-1]):
            maps = (b.add(Add(name=f"{name}_part{number}", inputs=(maps[0], other))), maps[-1])
        return b.add(Add(name=name, inputs=maps, activation=activation))

    def up(name: str, source: str, like: str) -> str:
        return b.add(Resize(name=name, inputs=(source,), size=b.size(like)))

    middle = fuse("middle", second, up("third_up", third, second))
    fine = fuse("fine", first, up("middle_up", middle, first), up("second_up", second, first))
    ends: dict[str, list[str]] = {"box": [], "class": []}
    for number, source in enumerate((fine, middle, third)):
        for kind, columns in (("box", 4), ("class", classes)):
            owner = f"{kind}0" if number else ""
            depthwise = DepthwiseConv2D(
                name=f"{kind}{number}_depthwise",
                inputs=(source,),
                kernel=3,
                padding=padding,
                use_bias=False,
                weights_of=owner and f"{owner}_depthwise",
            )
            pointwise = Conv2D(
                name=f"{kind}{number}_pointwise",
                inputs=(b.add(depthwise),),
                filters=CHANNELS,
                batch_norm=1e-3,
                biased_norm=True,
                activation=activation,
                weights_of=owner and f"{owner}_pointwise",
            )
            last = Conv2D(
                name=f"{kind}{number}",
                inputs=(b.add(pointwise),),
                filters=ANCHORS * columns,
                weights_of=owner,
            )
            rows = Rows(name=f"{kind}{number}_rows", inputs=(b.add(last),), columns=columns)
            ends[kind].append(b.add(rows))
    for name, parts in (("boxes", ends["box"]), ("logits", ends["class"])):
        b.add(Concat(name=name, inputs=tuple(parts)))
    return _drawn(b.graph("detector", {"family": "test"}, seed), seed)


def _drawn(graph: Graph, seed: int) -> Graph:
    """The same with weights that are different everywhere, biases and statistics too."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, array in graph.weights.items():
        kind = name.rpartition("/")[2]
        if kind == "weights":
            weights[name] = np.array(WEIGHTS[: len(array)], np.float32)
        elif kind in ("gamma", "variance"):
            weights[name] = rng.uniform(0.6, 1.5, array.shape).astype(np.float32)
        else:
            # Of a kernel, so that maps neither fade nor grow on their way.
            fan_in = array[..., 0].size if array.ndim > 1 else 4
            weights[name] = rng.normal(0, (2 / fan_in) ** 0.5, array.shape).astype(np.float32)
    return replace(graph, weights=weights)


def prepared(**options: str | int) -> Graph:
    """The network in float, as converters take it."""
    return prepare(detector(**options))  # type: ignore[arg-type]


def int8(**options: str | int) -> Graph:
    """The network in int8."""
    return quantized(prepared(**options))


def in_reals(graph: Graph, outputs: list[NDArray]) -> NDArray[np.float32]:
    """Integers of a quantized network's outputs, [n, rows, columns], as reals of all columns."""
    each = []
    for name, values in zip(graph.outputs, outputs, strict=True):
        params = graph.quant[name]
        each.append((values.astype(np.float32) - params.zero_point[0]) * params.scale[0])
    return np.concatenate(each, -1)
