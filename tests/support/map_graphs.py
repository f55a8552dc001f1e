"""Small networks whose outputs are maps: the operators of segmentation, alone and in networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_graphs import INPUT, Sketch

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    RESIZE_METHODS,
    Add,
    ArgMax,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Mean,
    Resize,
    Rows,
    Tile,
)

MEAN, STD = 127.0, 128.0


def convolve(
    sketch: Sketch, source: str, filters: int, *, kind: type = Conv2D, **fields: Any
) -> str:
    """Appends a layer of ordinary weights."""
    fields = {"kernel": 3, "stride": 1, "activation": "relu"} | fields
    depth = sketch.shapes[source][-1]
    if kind is Conv2D:
        fields["filters"] = filters
    name = sketch.convolution(kind, source, **fields)
    shape = sketch.weights[f"{name}/kernel"].shape
    fan = np.prod(shape[:2]) * (depth if kind is Conv2D else 1)
    for part, size in (("kernel", (2 / fan) ** 0.5), ("bias", 0.3)):
        array = sketch.weights[f"{name}/{part}"]
        sketch.weights[f"{name}/{part}"] = sketch.rng.normal(0, size, array.shape).astype("float32")
    return name


def resize(sketch: Sketch, source: str, size: tuple[int, int], method: str = "nearest") -> str:
    channels = sketch.shapes[source][2]
    return sketch.add(Resize, (*size, channels), source, size=size, method=method)


def concat(sketch: Sketch, *sources: str) -> str:
    shapes = [sketch.shapes[name] for name in sources]
    return sketch.add(Concat, (*shapes[0][:2], sum(shape[2] for shape in shapes)), *sources)


def arg_max(sketch: Sketch, source: str, keep_dims: bool = False) -> str:
    height, width, _ = sketch.shapes[source]
    return sketch.add(
        ArgMax, (height, width, 1) if keep_dims else (height, width), source, keep_dims=keep_dims
    )


def end(sketch: Sketch, logits: str, size: tuple[int, int], method: str, output: str) -> None:
    """Appends the last resize, before the ArgMax or behind it, where there is one."""
    if output == "classes-fused":
        resize(sketch, arg_max(sketch, logits, True), size)
    else:
        logits = resize(sketch, logits, size, method)
        if output == "classes":
            arg_max(sketch, logits)


def unet(output: str = "logits", side: int = 26, seed: int = 0) -> Graph:
    """Two steps down, and up again to the maps of the way; ``side`` need not be divisible by 4."""
    sketch = Sketch(np.random.default_rng(seed), (side, side, 3))
    first = convolve(sketch, INPUT, 8, activation="relu6")
    second = convolve(sketch, first, 12, stride=2, activation="relu6")
    third = convolve(sketch, second, 16, stride=2, activation="linear")
    up = resize(sketch, third, sketch.shapes[second][:2])
    up = convolve(sketch, concat(sketch, up, second), 10)
    up = resize(sketch, convolve(sketch, up, 9), sketch.shapes[first][:2])
    up = convolve(sketch, concat(sketch, up, first), 8)
    logits = convolve(sketch, up, 5, activation="linear")
    if output != "logits":
        arg_max(sketch, logits)
    return sketch.graph("unet")


def aspp(output: str = "logits", side: int = 33, seed: int = 0) -> Graph:
    """A pyramid of dilated convolutions and a pooled branch, its result beside an early map."""
    sketch = Sketch(np.random.default_rng(seed), (side, side, 3))
    early = convolve(sketch, INPUT, 8, stride=2)
    deep = convolve(sketch, early, 16, stride=2)
    deep = convolve(sketch, deep, 16, dilation=2)
    size = sketch.shapes[deep][:2]
    branches = [convolve(sketch, deep, 8, kernel=1)]
    for rate in (2, 3, 12):  # the last one's outer taps see nothing but padding
        rows = convolve(sketch, deep, 0, kind=DepthwiseConv2D, dilation=rate, activation="linear")
        branches.append(convolve(sketch, rows, 8, kernel=1))
    mean = sketch.add(Mean, (1, 1, 16), deep, keep_dims=True)
    pooled = convolve(sketch, mean, 8, kernel=1)
    branches.append(sketch.add(Tile, (*size, 8), pooled, size=size))
    context = convolve(sketch, concat(sketch, *branches), 12, kernel=1)
    context = resize(sketch, context, sketch.shapes[early][:2], "bilinear-corners")
    skip = convolve(sketch, early, 6, kernel=1)
    out = convolve(sketch, concat(sketch, context, skip), 10)
    logits = convolve(sketch, out, 7, kernel=1, activation="linear")
    end(sketch, logits, (side, side), "bilinear-corners", output)
    return sketch.graph("aspp")


def _one(kind: type, *, size: tuple[int, int] = (13, 9), **fields: Any) -> Graph:
    """A layer, and one operator that reads what it gives."""
    sketch = Sketch(np.random.default_rng(1), (11, 8, 3))
    source = convolve(sketch, INPUT, 21, activation="linear")
    if kind is Resize:
        resize(sketch, source, size, fields["method"])
    elif kind is Tile:
        mean = sketch.add(Mean, (1, 1, 21), source, keep_dims=True)
        sketch.add(Tile, (*size, 21), mean, size=size)
    elif kind is ArgMax:
        arg_max(sketch, source, fields["keep_dims"])
    elif kind is Concat:
        other = convolve(sketch, INPUT, 6, kernel=1, activation="relu6")
        concat(sketch, source, other, INPUT)
    elif kind is MaxPool2D:
        stride = fields["stride"]
        sketch.add(MaxPool2D, (-(-11 // stride), -(-8 // stride), 21), source, **fields)
    elif kind is Add:
        other = convolve(sketch, INPUT, 21, kernel=1, activation="linear")
        sketch.add(Add, (11, 8, 21), source, other, activation=fields["activation"])
    elif kind is Rows:
        other = convolve(sketch, INPUT, 14, stride=2, activation="linear")
        parts = [
            sketch.add(Rows, (11 * 8 * 3, 7), source, columns=7),
            sketch.add(Rows, (6 * 4 * 2, 7), other, columns=7),
        ]
        sketch.add(Concat, (11 * 8 * 3 + 6 * 4 * 2, 7), *parts)
    return sketch.graph(kind.__name__)


def _dilated(kind: type, kernel: int, dilation: int, padding: str) -> Graph:
    sketch = Sketch(np.random.default_rng(2), (14, 11, 3))
    fields = {"kernel": kernel, "dilation": dilation, "padding": padding}
    convolve(sketch, INPUT, 9, kind=kind, **fields)
    return sketch.graph(f"dilated {kind.__name__}")


#: Sizes up, by whole factors and others, down, and as they are.
SIZES = ((22, 16), (33, 24), (13, 9), (40, 27), (6, 5), (11, 8), (1, 1))
#: Kernel, dilation and padding; the last one's outer taps see nothing but zeros.
DILATIONS = (
    *((3, 2, "same"), (3, 4, "symmetric"), (5, 3, "same")),
    *((2, 3, "symmetric"), (3, 12, "same")),
)
#: Kernel, stride and padding of pools; one side is odd, the other even.
POOLS = ((3, 2, "same"), (3, 2, "symmetric"), (2, 2, "same"), (3, 1, "same"))
CASES: Mapping[str, Callable[[], Graph]] = {
    **{
        f"{method} to {size[0]}x{size[1]}": lambda m=method, s=size: _one(Resize, size=s, method=m)
        for method in RESIZE_METHODS
        for size in SIZES
    },
    "Tile": lambda: _one(Tile),
    "ArgMax": lambda: _one(ArgMax, keep_dims=False),
    "ArgMax that keeps dimensions": lambda: _one(ArgMax, keep_dims=True),
    "Concat": lambda: _one(Concat),
    "Concat of Rows": lambda: _one(Rows),
    **{
        f"MaxPool2D {kernel} stride {stride} {padding}": (
            lambda k=kernel, s=stride, p=padding: _one(MaxPool2D, kernel=k, stride=s, padding=p)
        )
        for kernel, stride, padding in POOLS
    },
    **{
        f"Add with {activation}": lambda a=activation: _one(Add, activation=a)
        for activation in ("linear", "relu", "relu6")
    },
    **{
        f"{kind.__name__} {kernel} dilated {dilation} {padding}": (
            lambda k=kind, s=kernel, d=dilation, p=padding: _dilated(k, s, d, p)
        )
        for kind in (Conv2D, DepthwiseConv2D)
        for kernel, dilation, padding in DILATIONS
    },
    **{f"unet {output}": lambda o=output: unet(o) for output in ("logits", "classes")},
    **{
        f"aspp {output}": lambda o=output: aspp(o)
        for output in ("logits", "classes", "classes-fused")
    },
}


def pixels(graph: Graph, count: int = 6) -> NDArray[np.uint8]:
    """Photos of patches of colour, uint8 NHWC."""
    height, width, channels = graph.shapes[graph.input]
    rng = np.random.default_rng(5)
    side = max(9, -(-max(height, width) // 6))
    patches = rng.integers(0, 256, (count, 6, 6, channels)).repeat(side, 1).repeat(side, 2)
    photos = patches[:, :height, :width] + rng.normal(0, 25, (count, height, width, channels))
    return photos.round().clip(0, 255).astype(np.uint8)


def inputs(graph: Graph, count: int = 6) -> NDArray[np.float32]:
    """The same, normalised."""
    return ((pixels(graph, count).astype(np.float32) - MEAN) / STD).astype(np.float32)


def quantized(graph: Graph) -> Graph:
    """The network in int8, with ranges from these photos."""
    fixed = fixed_ranges(graph, MEAN, STD)
    histograms = collect(graph, [inputs(graph)], skip=fixed)
    return quantize(graph, choose_ranges(histograms, "minmax") | fixed)
