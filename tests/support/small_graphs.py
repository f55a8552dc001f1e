"""Networks of one to three nodes with random parameters: each kind of operator almost alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Activation,
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Flatten,
    FullyConnected,
    Mean,
    Mul,
    Node,
    Shape,
)

INPUT = "input"
#: Odd, even, and one of each: torch's padding differs from TensorFlow's where a side is even.
SIDES = ((11, 11), (12, 12), (11, 14), (14, 11))
KERNELS, STRIDES, PADDINGS = (1, 3, 5, 7), (1, 2), ("same", "symmetric")


class Sketch:
    """A Graph that grows node by node."""

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        self.rng = rng
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.weights: dict[str, Any] = {}

    def add(self, node_type: type[Node], shape: Shape, /, *inputs: str, **fields: Any) -> str:
        """Appends a node; returns its name, which is also that of its tensor."""
        node = node_type(name=f"node{len(self.nodes)}", inputs=inputs or (INPUT,), **fields)
        self.nodes.append(node)
        self.shapes[node.name] = shape
        return node.name

    def weigh(self, name: str, *kernel: int, inputs: int) -> None:
        """Gives a node a kernel, of ``inputs`` numbers for an output, and a bias.

        The channels differ in size a thousandfold, the second is dead, and one bias is large.
        """
        channels = kernel[-1]
        sizes = 10.0 ** self.rng.uniform(-2, 1, channels)
        values = self.rng.normal(0, inputs**-0.5, kernel) * sizes
        values[..., 1] = 0
        bias = self.rng.normal(0, 1, channels) * sizes
        bias[self.rng.integers(channels)] *= 30
        self.weights[f"{name}/kernel"] = values.astype(np.float32)
        self.weights[f"{name}/bias"] = bias.astype(np.float32)

    def convolution(self, kind: type[Node], *inputs: str, **fields: Any) -> str:
        """Appends a convolution of either kind."""
        source = self.shapes[inputs[0] if inputs else INPUT]
        height, width = (-(-side // fields["stride"]) for side in source[:2])
        channels = fields.get("filters", source[2])
        name = self.add(kind, (height, width, channels), *inputs, **fields)
        side = fields["kernel"]
        depthwise = kind is DepthwiseConv2D
        shape = (side, side, channels) if depthwise else (side, side, source[2], channels)
        self.weigh(name, *shape, inputs=int(np.prod(shape)) // channels)
        return name

    def dense(self, units: int, *inputs: str) -> str:
        """Appends a fully connected layer."""
        (length,) = self.shapes[inputs[0] if inputs else INPUT]
        name = self.add(FullyConnected, (units,), *inputs, units=units)
        self.weigh(name, length, units, inputs=length)
        return name

    def graph(self, name: str) -> Graph:
        return Graph(
            name=name,
            input=INPUT,
            nodes=tuple(self.nodes),
            shapes=self.shapes,
            weights=self.weights,
        )


@dataclass(frozen=True)
class Case:
    """A network to be drawn.

    Attributes:
        draw: makes it from random numbers.
        output: a range for its output instead of that of its values.
    """

    draw: Callable[[np.random.Generator], Sketch]
    output: tuple[float, float] | None = None


def _map(rng: np.random.Generator, channels: int = 20) -> Sketch:
    height, width = SIDES[rng.integers(len(SIDES))]
    return Sketch(rng, (height, width, channels))


def _convolve(kind: type[Node], kernel: int, stride: int, padding: str, sides: Shape) -> Case:
    def draw(rng: np.random.Generator) -> Sketch:
        # 1024 numbers are rounded where activations are float; vector code takes 8 or 16 channels
        # at a time, and what is left one by one.
        few, fields = int(rng.integers(1, 12)), {}
        if kind is Conv2D:
            channels, fields = 37, {"filters": 28 + few}
        else:
            channels = few + (1024 // kernel**2 if kernel > 1 else 28)
        sketch = Sketch(rng, (*sides, channels))
        fields |= {"kernel": kernel, "stride": stride, "padding": padding}
        activation = ("linear", "relu", "relu6")[rng.integers(3)]
        sketch.convolution(kind, **fields, activation=activation)
        return sketch

    return Case(draw)


def _activate(rng: np.random.Generator) -> Sketch:
    sketch = _map(rng)
    sketch.add(Activation, sketch.shapes[INPUT], kind="sigmoid")
    return sketch


def _swish(rng: np.random.Generator) -> Sketch:
    sketch = _map(rng)
    gate = sketch.add(Activation, sketch.shapes[INPUT], kind="sigmoid")
    sketch.add(Mul, sketch.shapes[INPUT], INPUT, gate)
    return sketch


def _square(rng: np.random.Generator) -> Sketch:
    sketch = _map(rng)
    branch = sketch.convolution(DepthwiseConv2D, kernel=1, stride=1)
    sketch.add(Mul, sketch.shapes[INPUT], INPUT, branch)
    return sketch


def _excite(rng: np.random.Generator) -> Sketch:
    sketch = _map(rng)
    channels = sketch.shapes[INPUT][2]
    mean = sketch.add(Mean, (1, 1, channels), keep_dims=True)
    gate = sketch.add(Activation, (1, 1, channels), mean, kind="sigmoid")
    sketch.add(Mul, sketch.shapes[INPUT], INPUT, gate)
    return sketch


def _shortcut(rng: np.random.Generator) -> Sketch:
    sketch = _map(rng)
    fields = {"filters": sketch.shapes[INPUT][2], "kernel": 1, "stride": 1}
    branch = sketch.convolution(Conv2D, **fields)
    sketch.add(Add, sketch.shapes[INPUT], branch, INPUT)
    return sketch


def _mean(keep_dims: bool) -> Case:
    def draw(rng: np.random.Generator) -> Sketch:
        sketch = _map(rng, 37)
        sketch.add(Mean, (1, 1, 37) if keep_dims else (37,), keep_dims=keep_dims)
        return sketch

    return Case(draw)


def mean_of_one(keep_dims: bool) -> Callable[[np.random.Generator], Sketch]:
    """Draws a mean over a map of one pixel, behind a layer."""

    def draw(rng: np.random.Generator) -> Sketch:
        sketch = Sketch(rng, (1, 1, 37))
        last = sketch.convolution(DepthwiseConv2D, kernel=1, stride=1)
        sketch.add(Mean, (1, 1, 37) if keep_dims else (37,), last, keep_dims=keep_dims)
        return sketch

    return draw


def _pool(kernel: tuple[int, int], then: str = "") -> Case:
    def draw(rng: np.random.Generator) -> Sketch:
        sketch = Sketch(rng, (12, 12, 37))
        out = (12 // kernel[0], 12 // kernel[1], 37)
        last = sketch.add(AveragePool2D, out, kernel=kernel)
        if then:
            last = sketch.add(Flatten, (37,), last)
        if then == "dense":
            sketch.dense(29, last)
        return sketch

    return Case(draw)


def _head(rng: np.random.Generator) -> Sketch:
    sketch = Sketch(rng, (7, 7, 43))
    sketch.dense(29, sketch.add(Mean, (43,), keep_dims=False))
    return sketch


#: Every kind of operator; the convolutions with every kernel, stride, padding and parity of sides.
CASES: dict[str, Case] = {
    **{
        f"{kind.__name__} {kernel} stride {stride} {padding} {sides[0]}x{sides[1]}": _convolve(
            kind, kernel, stride, padding, sides
        )
        for kind in (Conv2D, DepthwiseConv2D)
        for kernel in KERNELS
        for stride in STRIDES
        for padding in PADDINGS
        for sides in SIDES[:3]
    },
    "FullyConnected": Case(_head),
    "sigmoid": Case(_activate),
    "Mul by a sigmoid": Case(_swish),
    "Mul of two maps": Case(_square),
    "Mul that grows": Case(_square, output=(-1.0, 1.0)),
    "Mul by a vector": Case(_excite),
    "Add": Case(_shortcut),
    "Mean": _mean(False),
    "Mean that keeps dimensions": _mean(True),
    "Mean of one pixel": Case(mean_of_one(False)),
    "Mean of one pixel that keeps dimensions": Case(mean_of_one(True)),
    "AveragePool2D 2x2": _pool((2, 2)),
    "AveragePool2D 3x4": _pool((3, 4)),
    "AveragePool2D 12x12": _pool((12, 12)),
    "Flatten at the output": _pool((12, 12), "end"),
    "Flatten before FullyConnected": _pool((12, 12), "dense"),
}


def draw(name: str, seed: int) -> Graph:
    """The network of `CASES` with the random parameters of a seed."""
    return CASES[name].draw(np.random.default_rng([seed, *name.encode()])).graph(name)
