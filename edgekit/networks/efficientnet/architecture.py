"""From a ModelSpec to a Graph with freshly drawn weights."""

from __future__ import annotations

import math
from dataclasses import replace

from edgekit.errors import whole
from edgekit.networks.builder import initial_weights
from edgekit.networks.efficientnet.origin import origin_of
from edgekit.networks.efficientnet.spec import ModelSpec, StageSpec
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Mul,
    Node,
    Shape,
)


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
        nodes, origin = tuple(self.nodes), origin_of(spec)
        return Graph(spec.name, "input", nodes, self.shapes, weights, origin=origin)

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
