"""The stem and the blocks of a variant: what a classifier and every decoder build on.

Sources of the blocks that are not the family's: MobileNetV1 (Howard et al. 2017, arXiv 1704.04861,
figure 3), MobileNetV3 (Howard et al. 2019, arXiv 1905.02244, section 5.3), ResNet (He et al. 2015,
arXiv 1512.03385, figure 5, with the stride in the 3x3 convolution as torchvision has it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.efficientnet.block_plan import SQUEEZE_RULES, Block, node_padding
from edgekit.networks.efficientnet.spec import ModelSpec, round_filters
from edgekit.networks.nodes import Add, Conv2D, DepthwiseConv2D, MaxPool2D, Mean, Mul


def add_backbone(builder: GraphBuilder, spec: ModelSpec, blocks: Iterable[Block]) -> dict[str, str]:
    """Writes the stem and the blocks behind the input.

    Returns:
        The tensor that each block ends with, by the block's name; ``stem``, at stride 2, among
        them.
    """
    writer = _Writer(builder, spec)
    x, out = STEMS[spec.stem_layers](writer)
    ends = {"stem": x}
    for block in blocks:
        kind = block.shape.kind or ("fused" if block.shape.fused else "mbconv")
        out = ends[block.name] = BLOCKS[kind](writer, block, out)
    return ends


def is_backbone(name: str) -> bool:
    """Whether a node of a network is the stem's or a block's, by its name."""
    return name.startswith(("stem", "block"))


class _Writer:
    """Writes layers of one variant."""

    def __init__(self, builder: GraphBuilder, spec: ModelSpec) -> None:
        self.builder = builder
        self.spec = spec

    def stem(self, kernel: int) -> str:
        """The first convolution."""
        return self.builder.add(
            Conv2D(
                name="stem",
                inputs=("input",),
                filters=self.spec.stem_filters,
                kernel=kernel,
                stride=2,
                padding=node_padding(self.spec, self.spec.resolution),
                activation=self.spec.activation,
                batch_norm=self.spec.epsilon,
            )
        )

    def activation(self, block: Block) -> str:
        """Of a block, everywhere but in its projection."""
        return block.shape.activation or self.spec.activation

    def depthwise(self, block: Block, x: str) -> str:
        return self.builder.add(
            DepthwiseConv2D(
                name=f"{block.name}_depthwise",
                inputs=(x,),
                kernel=block.shape.kernel,
                stride=block.shape.stride,
                padding=block.padding,
                dilation=block.dilation,
                activation=self.activation(block),
                batch_norm=self.spec.epsilon,
            )
        )

    def spatial(self, role: str, x: str, block: Block, filters: int, activation: str) -> str:
        """A full convolution with a block's kernel, stride and dilation."""
        return self.builder.add(
            Conv2D(
                name=f"{block.name}_{role}",
                inputs=(x,),
                filters=filters,
                kernel=block.shape.kernel,
                stride=block.shape.stride,
                padding=block.padding,
                dilation=block.dilation,
                activation=activation,
                batch_norm=self.spec.epsilon,
            )
        )

    def pointwise(self, name: str, x: str, filters: int, activation: str, stride: int = 1) -> str:
        return self.builder.add(
            Conv2D(
                name=name,
                inputs=(x,),
                filters=filters,
                stride=stride,
                padding=node_padding(self.spec),
                activation=activation,
                batch_norm=self.spec.epsilon,
            )
        )

    def squeeze_excite(self, block: Block, x: str) -> str:
        """Channel attention; its 1x1 convolutions have a bias and no normalization."""
        shape, rule, name = block.shape, SQUEEZE_RULES[self.spec.squeeze_rule], f"{block.name}_se"
        filters = self.builder.shapes[x][-1]
        width = max(1, int(shape.in_filters * shape.se_ratio))
        if rule.of_expanded:
            width = round_filters(filters, shape.se_ratio)
        gate = self.builder.add(Mean(name=f"{name}_squeeze", inputs=(x,), keep_dims=True))
        inner = rule.activation or self.activation(block)
        for role, count, kind in (("reduce", width, inner), ("expand", filters, rule.gate)):
            gate = self.builder.add(
                Conv2D(
                    name=f"{name}_{role}",
                    inputs=(gate,),
                    filters=count,
                    padding=node_padding(self.spec),
                    activation=kind,
                )
            )
        return self.builder.add(Mul(name=f"{name}_excite", inputs=(x, gate)))

    def add(self, block: Block, x: str, shortcut: str, activation: str = "linear") -> str:
        """The sum of a branch and its shortcut."""
        return self.builder.add(
            Add(
                name=f"{block.name}_add",
                inputs=(x, shortcut),
                drop_connect=block.drop_connect,
                activation=activation,
            )
        )

    def keeps_shape(self, block: Block, x: str) -> bool:
        """Whether a block's output has the shape of its input."""
        return block.shape.stride == 1 and self.builder.shapes[x][-1] == block.shape.out_filters


def _stem_pooled(writer: _Writer) -> tuple[str, str]:
    x = writer.stem(7)
    pool = MaxPool2D(
        name="stem_pool",
        inputs=(x,),
        kernel=3,
        stride=2,
        padding=node_padding(writer.spec, writer.builder.shapes[x][0]),
    )
    return x, writer.builder.add(pool)


#: Writers of a stem, by `ModelSpec.stem_layers`: the map at stride 2, and what the blocks read.
STEMS: dict[str, Callable[[_Writer], tuple[str, str]]] = {
    "conv3x3": lambda writer: (writer.stem(3),) * 2,
    "conv7x7-pool": _stem_pooled,
}


def _inverted(writer: _Writer, block: Block, x: str) -> str:
    """MBConv (MobileNetV2): widen and filter, squeeze-excite, project, add."""
    shape, shortcut = block.shape, x
    if shape.expand != 1:
        filters = round_filters(shape.in_filters, shape.expand)
        x = writer.pointwise(f"{block.name}_expand", x, filters, writer.activation(block))
    return _project(writer, block, writer.depthwise(block, x), shortcut)


def _fused(writer: _Writer, block: Block, x: str) -> str:
    """Fused-MBConv (EfficientNet-EdgeTPU, V2): one full convolution widens and filters."""
    shape, shortcut, act = block.shape, x, writer.activation(block)
    if shape.expand == 1:
        x = writer.spatial("project", x, block, shape.out_filters, act)
        keeps = shape.skip and writer.keeps_shape(block, shortcut)
        return writer.add(block, x, shortcut) if keeps else x
    filters = round_filters(shape.in_filters, shape.expand)
    return _project(writer, block, writer.spatial("expand", x, block, filters, act), shortcut)


def _project(writer: _Writer, block: Block, x: str, shortcut: str) -> str:
    """What an expanded block ends with."""
    if block.shape.se_ratio:
        x = writer.squeeze_excite(block, x)
    x = writer.pointwise(f"{block.name}_project", x, block.shape.out_filters, "linear")
    keeps = block.shape.skip and writer.keeps_shape(block, shortcut)
    return writer.add(block, x, shortcut) if keeps else x


def _separable(writer: _Writer, block: Block, x: str) -> str:
    """MobileNetV1's: nothing is widened, and the pointwise convolution has an activation."""
    shape, shortcut = block.shape, x
    x = writer.depthwise(block, x)
    name = f"{block.name}_project"
    x = writer.pointwise(name, x, shape.out_filters, writer.activation(block))
    keeps = shape.skip and writer.keeps_shape(block, shortcut)
    return writer.add(block, x, shortcut) if keeps else x


def _basic(writer: _Writer, block: Block, x: str) -> str:
    """ResNet-18's: two 3x3 convolutions."""
    shape, act = block.shape, writer.activation(block)
    inner = writer.spatial("conv1", x, block, round_filters(shape.out_filters, shape.expand), act)
    second = replace(block, shape=replace(shape, stride=1))
    branch = writer.spatial("conv2", inner, second, shape.out_filters, "linear")
    return writer.add(block, branch, _shortcut(writer, block, x), act)


def _bottleneck(writer: _Writer, block: Block, x: str) -> str:
    """ResNet-50's: 1x1, 3x3 with the stride, 1x1."""
    shape, act, name = block.shape, writer.activation(block), block.name
    inner = round_filters(shape.out_filters, shape.expand)
    branch = writer.pointwise(f"{name}_conv1", x, inner, act)
    branch = writer.spatial("conv2", branch, block, inner, act)
    shortcut = _shortcut(writer, block, x)
    branch = writer.pointwise(f"{name}_conv3", branch, shape.out_filters, "linear")
    return writer.add(block, branch, shortcut, act)


def _shortcut(writer: _Writer, block: Block, x: str) -> str:
    """A block's input, projected where the block changes its shape."""
    if writer.keeps_shape(block, x):
        return x
    name, shape = f"{block.name}_shortcut", block.shape
    return writer.pointwise(name, x, shape.out_filters, "linear", shape.stride)


#: Writers of a block, by its kind.
BLOCKS: dict[str, Callable[[_Writer, Block, str], str]] = {
    "mbconv": _inverted,
    "fused": _fused,
    "separable": _separable,
    "basic": _basic,
    "bottleneck": _bottleneck,
}
