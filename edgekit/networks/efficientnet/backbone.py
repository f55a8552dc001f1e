"""The stem and the blocks of a variant: what a classifier and every decoder build on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.efficientnet.stages import StageSpec
from edgekit.networks.nodes import Add, Conv2D, DepthwiseConv2D, Mean, Mul


@dataclass(frozen=True)
class Block:
    """One inverted residual block before it is written.

    Attributes:
        name: that its nodes' names begin with: ``block5b``.
        shape: what it does; the stride is 1 but in a stage's first block.
        level: how often the input was halved at its output, as published: 1 to 5.
        padding: of its strided convolution, as the nodes take it.
        drop_connect: rate at which its branch is dropped in training.
        dilation: of its spatial convolution.
    """

    name: str
    shape: StageSpec
    level: int
    padding: str
    drop_connect: float
    dilation: int = 1

    @property
    def is_first(self) -> bool:
        """Whether a stage begins with it."""
        return self.name.endswith("a")


def plan_blocks(spec: ModelSpec) -> tuple[Block, ...]:
    """The blocks of a variant, in order."""
    stages = spec.scaled_stages()
    count = sum(stage.repeats for stage in stages)
    blocks: list[Block] = []
    level, native = 1, math.ceil(spec.resolution / 2)
    for number, stage in enumerate(stages, 1):
        for repeat in range(stage.repeats):
            shape = stage
            if repeat:
                shape = replace(stage, stride=1, in_filters=stage.out_filters)
            padding = node_padding(spec, native)
            if shape.stride == 2:
                level, native = level + 1, math.ceil(native / 2)
            name = f"block{number}{chr(ord('a') + repeat)}"
            drop = (1 - spec.survival) * len(blocks) / count
            blocks.append(Block(name, shape, level, padding, drop))
    return tuple(blocks)


def node_padding(spec: ModelSpec, native: int = 2) -> str:
    """How a convolution pads: ``same`` or ``symmetric``.

    Args:
        spec: the variant.
        native: side of the convolution's input where the network's has the variant's resolution;
            it matters where the stride is 2.
    """
    if spec.padding != "native":
        return spec.padding
    # TensorFlow's padding of an odd side is the same before and after.
    return "symmetric" if native % 2 else "same"


def add_backbone(builder: GraphBuilder, spec: ModelSpec, blocks: Iterable[Block]) -> dict[str, str]:
    """Writes the stem and the blocks behind the input.

    Returns:
        The tensor that each block ends with, by the block's name; ``stem`` among them.
    """
    writer = _Writer(builder, spec)
    x = builder.add(
        Conv2D(
            name="stem",
            inputs=("input",),
            filters=spec.stem_filters,
            kernel=3,
            stride=2,
            padding=node_padding(spec, spec.resolution),
            activation=spec.activation,
            batch_norm=spec.epsilon,
        )
    )
    ends = {"stem": x}
    for block in blocks:
        x = ends[block.name] = writer.block(block, x)
    return ends


def is_backbone(name: str) -> bool:
    """Whether a node of a network is the stem's or a block's, by its name."""
    return name.startswith(("stem", "block"))


class _Writer:
    """Writes blocks of one variant."""

    def __init__(self, builder: GraphBuilder, spec: ModelSpec) -> None:
        self.builder = builder
        self.spec = spec

    def block(self, block: Block, x: str) -> str:
        """An inverted residual block: widen and filter, squeeze-excite, project, add."""
        name, shape, shortcut = block.name, block.shape, x
        depth = self.builder.shapes[x][-1]
        keeps_shape = shape.stride == 1 and depth == shape.out_filters
        if shape.fused and shape.expand == 1:
            x = self.fused(f"{name}_project", x, block, shape.out_filters)
        else:
            if shape.fused:
                x = self.fused(f"{name}_expand", x, block, shape.in_filters * shape.expand)
            else:
                x = self.mbconv(block, x)
            if shape.se_ratio:
                width = max(1, int(shape.in_filters * shape.se_ratio))
                x = self.squeeze_excite(f"{name}_se", x, width)
            x = self.pointwise(f"{name}_project", x, shape.out_filters, "linear")
        if shape.skip and keeps_shape:
            x = self.builder.add(
                Add(name=f"{name}_add", inputs=(x, shortcut), drop_connect=block.drop_connect)
            )
        return x

    def mbconv(self, block: Block, x: str) -> str:
        """MBConv (MobileNetV2): a 1x1 convolution widens, a depthwise one filters."""
        shape, act = block.shape, self.spec.activation
        if shape.expand != 1:
            x = self.pointwise(f"{block.name}_expand", x, shape.in_filters * shape.expand, act)
        return self.builder.add(
            DepthwiseConv2D(
                name=f"{block.name}_depthwise",
                inputs=(x,),
                kernel=shape.kernel,
                stride=shape.stride,
                padding=block.padding,
                dilation=block.dilation,
                activation=act,
                batch_norm=self.spec.epsilon,
            )
        )

    def fused(self, name: str, x: str, block: Block, filters: int) -> str:
        """Fused-MBConv (EfficientNet-EdgeTPU, V2): one full convolution widens and filters."""
        return self.builder.add(
            Conv2D(
                name=name,
                inputs=(x,),
                filters=filters,
                kernel=block.shape.kernel,
                stride=block.shape.stride,
                padding=block.padding,
                dilation=block.dilation,
                activation=self.spec.activation,
                batch_norm=self.spec.epsilon,
            )
        )

    def squeeze_excite(self, name: str, x: str, width: int) -> str:
        """Channel attention; its 1x1 convolutions have a bias and no normalization."""
        filters = self.builder.shapes[x][-1]
        gate = self.builder.add(Mean(name=f"{name}_squeeze", inputs=(x,), keep_dims=True))
        act = self.spec.activation
        gate = self.pointwise(f"{name}_reduce", gate, width, act, normalize=False)
        gate = self.pointwise(f"{name}_expand", gate, filters, "sigmoid", normalize=False)
        return self.builder.add(Mul(name=f"{name}_excite", inputs=(x, gate)))

    def pointwise(
        self, name: str, x: str, filters: int, activation: str, *, normalize: bool = True
    ) -> str:
        return self.builder.add(
            Conv2D(
                name=name,
                inputs=(x,),
                filters=filters,
                padding=node_padding(self.spec),
                activation=activation,
                batch_norm=self.spec.epsilon if normalize else None,
            )
        )
