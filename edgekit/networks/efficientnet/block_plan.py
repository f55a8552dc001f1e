"""The blocks of a variant before they are written: their names, shapes, strides and padding."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.efficientnet.stages import StageSpec

#: How often a stem halves its input, by `ModelSpec.stem_layers`.
STEM_HALVINGS = {"conv3x3": 1, "conv7x7-pool": 2}


@dataclass(frozen=True)
class SqueezeRule:
    """How squeeze-excite is built.

    Attributes:
        of_expanded: whether its width counts from the expanded channels, in multiples of 8, not
            from those of the block's input.
        activation: of its inner layer; empty for the block's.
        gate: what its outer layer ends with.
    """

    of_expanded: bool
    activation: str
    gate: str


#: By `ModelSpec.squeeze_rule`.
SQUEEZE_RULES = {
    "efficientnet": SqueezeRule(False, "", "sigmoid"),
    "mobilenet-v3": SqueezeRule(True, "relu", "hard-sigmoid"),
}


@dataclass(frozen=True)
class Block:
    """One block before it is written.

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
    level, native = 0, spec.resolution
    for _ in range(STEM_HALVINGS[spec.stem_layers]):
        level, native = level + 1, math.ceil(native / 2)
    number = place = 0
    for stage in stages:
        number, place = (number, place) if stage.continues else (number + 1, 0)
        for repeat in range(stage.repeats):
            shape = stage
            if repeat:
                shape = replace(stage, stride=1, in_filters=stage.out_filters)
            padding = node_padding(spec, native)
            if shape.stride == 2:
                level, native = level + 1, math.ceil(native / 2)
            name = f"block{number}{chr(ord('a') + place + repeat)}"
            drop = (1 - spec.survival) * len(blocks) / count
            blocks.append(Block(name, shape, level, padding, drop))
        place += stage.repeats
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
