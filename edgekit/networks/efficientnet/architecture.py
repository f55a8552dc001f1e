"""From a ModelSpec to a Graph with freshly drawn weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgekit.errors import whole
from edgekit.graph import (
    Add,
    Array,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Mul,
    Node,
    Shape,
)
from edgekit.spec import ModelSpec, StageSpec


def build_graph(
    spec: ModelSpec, *, classes: int = 1000, resolution: int | None = None, seed: int | None = 0
) -> Graph:
    """Builds a variant.

    Args:
        spec: the variant.
        classes: number of logits.
        resolution: side of the square input in pixels; the variant's own by default.
        seed: of the weights; None gives zeros that take no memory, for a look at the structure.

    Raises:
        UsageError: a number is a fraction, or less than 1.
    """
    side = whole("resolution", spec.resolution if resolution is None else resolution)
    return _Builder(spec, whole("classes", classes), side).graph(seed)


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


def pyramid(graph: Graph) -> tuple[str, ...]:
    """The tensors that detectors and segmenters read: the last block at each stride, 2 to 32.

    Raises:
        TypeError: the graph's nodes are not named as `build_graph` names them.
    """
    ends: dict[str, str] = {}  # the last node of each block
    for node in graph.nodes:
        block = node.name.partition("_")[0]
        if block.startswith("block"):
            ends[block] = node.name
    if not ends:
        raise TypeError(f"{graph.name} has no blocks")
    by_side = {graph.shapes[end][0]: end for end in ends.values()}
    return tuple(by_side.values())


def start_as_shortcuts(graph: Graph) -> Graph:
    """Returns a freshly drawn network whose residual branches all begin at zero.

    The normalization that ends a branch starts with gamma 0, so that a deep network learns
    like a shallow one at first (Goyal et al. 2017, arXiv 1706.02677, section 5.1).
    """
    ends = {f"{node.inputs[0]}/gamma" for node in graph.nodes if isinstance(node, Add)}
    weights = {name: a * (name not in ends) for name, a in graph.weights.items()}
    return graph.with_weights(weights)


class _Builder:
    """Writes nodes one after the other and keeps the shapes beside them."""

    def __init__(self, spec: ModelSpec, classes: int, resolution: int) -> None:
        self.spec = spec
        self.classes = classes
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {"input": (resolution, resolution, 3)}

    def graph(self, seed: int | None) -> Graph:
        spec = self.spec
        act = spec.activation
        x = self.conv("stem", "input", spec.stem_filters, kernel=3, stride=2, activation=act)
        stages = spec.scaled_stages()
        blocks = sum(stage.repeats for stage in stages)
        done = 0
        for number, stage in enumerate(stages, 1):
            for repeat in range(stage.repeats):
                name = f"block{number}{chr(ord('a') + repeat)}"
                drop = (1 - spec.survival) * done / blocks
                x = self.block(name, x, stage if repeat == 0 else _repeated(stage), drop)
                done += 1
        x = self.conv("head", x, spec.head_filters, activation=act)
        x = self.add(Mean(name="pool", inputs=(x,), keep_dims=False), self.shapes[x][-1:])
        self.add(
            FullyConnected(name="logits", inputs=(x,), units=self.classes, dropout=spec.dropout),
            (self.classes,),
        )
        weights = initial_weights(self.nodes, self.shapes, seed)
        return Graph(spec.name, "input", tuple(self.nodes), self.shapes, weights, spec=spec)

    def block(self, name: str, x: str, stage: StageSpec, drop_connect: float) -> str:
        """An inverted residual block: widen and filter, squeeze-excite, project, add."""
        shortcut, keeps_shape = x, stage.stride == 1 and self.shapes[x][-1] == stage.out_filters
        if stage.fused and stage.expand == 1:
            x = self.fused(f"{name}_project", x, stage, stage.out_filters)
        else:
            x = (
                self.fused(f"{name}_expand", x, stage)
                if stage.fused
                else self.mbconv(name, x, stage)
            )
            if stage.se_ratio:
                width = max(1, int(stage.in_filters * stage.se_ratio))
                x = self.squeeze_excite(f"{name}_se", x, width)
            x = self.conv(f"{name}_project", x, stage.out_filters)
        if stage.skip and keeps_shape:
            node = Add(name=f"{name}_add", inputs=(x, shortcut), drop_connect=drop_connect)
            x = self.add(node, self.shapes[x])
        return x

    def mbconv(self, name: str, x: str, stage: StageSpec) -> str:
        """MBConv (MobileNetV2): a 1x1 convolution widens, a depthwise one filters."""
        act = self.spec.activation
        if stage.expand != 1:
            x = self.conv(f"{name}_expand", x, stage.in_filters * stage.expand, activation=act)
        return self.depthwise(f"{name}_depthwise", x, stage.kernel, stage.stride, act)

    def fused(self, name: str, x: str, stage: StageSpec, filters: int | None = None) -> str:
        """Fused-MBConv (EfficientNet-EdgeTPU, V2): one full convolution widens and filters."""
        return self.conv(
            name,
            x,
            filters or stage.in_filters * stage.expand,
            kernel=stage.kernel,
            stride=stage.stride,
            activation=self.spec.activation,
        )

    def squeeze_excite(self, name: str, x: str, width: int) -> str:
        """Channel attention; its 1x1 convolutions have a bias and no normalization."""
        filters = self.shapes[x][-1]
        mean = Mean(name=f"{name}_squeeze", inputs=(x,), keep_dims=True)
        gate = self.add(mean, (1, 1, filters))
        act = self.spec.activation
        gate = self.conv(f"{name}_reduce", gate, width, activation=act, normalize=False)
        gate = self.conv(f"{name}_expand", gate, filters, activation="sigmoid", normalize=False)
        return self.add(Mul(name=f"{name}_excite", inputs=(x, gate)), self.shapes[x])

    def conv(
        self,
        name: str,
        x: str,
        filters: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        activation: str = "linear",
        normalize: bool = True,
    ) -> str:
        node = Conv2D(
            name=name,
            inputs=(x,),
            filters=filters,
            kernel=kernel,
            stride=stride,
            padding=self.spec.padding,
            activation=activation,
            batch_norm=self.spec.epsilon if normalize else None,
        )
        return self.add(node, (*_strided(self.shapes[x], stride), filters))

    def depthwise(self, name: str, x: str, kernel: int, stride: int, activation: str) -> str:
        node = DepthwiseConv2D(
            name=name,
            inputs=(x,),
            kernel=kernel,
            stride=stride,
            padding=self.spec.padding,
            activation=activation,
            batch_norm=self.spec.epsilon,
        )
        return self.add(node, (*_strided(self.shapes[x], stride), self.shapes[x][-1]))

    def add(self, node: Node, shape: Shape) -> str:
        self.nodes.append(node)
        self.shapes[node.name] = shape
        return node.name


def _repeated(stage: StageSpec) -> StageSpec:
    return replace(stage, stride=1, in_filters=stage.out_filters)


def _strided(shape: Shape, stride: int) -> Shape:
    return tuple(math.ceil(side / stride) for side in shape[:2])


def initial_weights(
    nodes: Sequence[Node], shapes: Mapping[str, Shape], seed: int | None
) -> dict[str, Array]:
    """Draws weights as the released code does: N(0, 2/fan_out), dense U(±1/sqrt(1000))."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    for node in nodes:
        for name in node.weight_names():
            suffix = name.rpartition("/")[2]
            shape = _kernel_shape(node, shapes)
            if suffix != "kernel":
                shape = shape[-1:]
            if seed is None:
                weights[name] = np.broadcast_to(np.float32(0), shape)
            elif suffix == "kernel":
                weights[name] = _draw(node, shape, rng).astype(np.float32)
            else:
                weights[name] = np.full(shape, suffix in ("gamma", "variance"), np.float32)
    return weights


def _kernel_shape(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    fan_in = shapes[node.inputs[0]][-1]
    match node:
        case Conv2D():
            return node.kernel, node.kernel, fan_in, node.filters
        case DepthwiseConv2D():
            return node.kernel, node.kernel, fan_in
        case FullyConnected():
            return fan_in, node.units
    raise TypeError(f"a {type(node).__name__} has no kernel")


def _draw(node: Node, shape: Shape, rng: np.random.Generator) -> Array:
    if isinstance(node, FullyConnected):
        # The released code takes 1/sqrt(units), for 1000 classes. Few classes would get first
        # logits so large that training starts far from even odds.
        limit = 1 / math.sqrt(max(node.units, 1000))
        return rng.uniform(-limit, limit, shape)
    # Each of a depthwise kernel's outputs has a group of its own.
    fan_out = math.prod(shape[:2]) * (shape[-1] if isinstance(node, Conv2D) else 1)
    return rng.normal(0, math.sqrt(2 / fan_out), shape)
