"""The family as data: every variant is a row, every stage of blocks a string.

Sources: EfficientNet (Tan and Le 2019, arXiv 1905.11946, table 1 and section 4) with the
released code's rounding rules, and EfficientNet-Lite (tensorflow/tpu, lite/README).
Nothing here imports a framework.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from edgekit.errors import UsageError, did_you_mean

#: Of ImageNet's pixels, RGB, 0 to 255: 255 times (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

V1_STAGES = (
    "r1_k3_s1_e1_i32_o16_se0.25",
    "r2_k3_s2_e6_i16_o24_se0.25",
    "r2_k5_s2_e6_i24_o40_se0.25",
    "r3_k3_s2_e6_i40_o80_se0.25",
    "r3_k5_s1_e6_i80_o112_se0.25",
    "r4_k5_s2_e6_i112_o192_se0.25",
    "r1_k3_s1_e6_i192_o320_se0.25",
)


@dataclass(frozen=True)
class StageSpec:
    """One stage: the same MBConv block repeated; only the first block has the stride.

    Attributes:
        repeats: number of blocks before depth scaling.
        kernel: side of the depthwise kernel in pixels.
        stride: stride of the first block.
        expand: width of the expanded tensor over the block's input width.
        in_filters: channels in, before width scaling.
        out_filters: channels out, before width scaling.
        se_ratio: squeeze-excite width over the block's *input* width; 0 for none.
    """

    repeats: int
    kernel: int
    stride: int
    expand: int
    in_filters: int
    out_filters: int
    se_ratio: float = 0.0

    _FIELDS = (
        ("r", "repeats"),
        ("k", "kernel"),
        ("s", "stride"),
        ("e", "expand"),
        ("i", "in_filters"),
        ("o", "out_filters"),
        ("se", "se_ratio"),
    )

    @classmethod
    def parse(cls, text: str) -> StageSpec:
        """Reads a block string such as ``r2_k3_s2_e6_i16_o24_se0.25``.

        Raises:
            UsageError: a token is unknown, repeated or missing.
        """
        names = dict(cls._FIELDS)
        values: dict[str, float] = {}
        for token in text.split("_"):
            match = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?|\.\d+)", token)
            name = names.get(match[1]) if match else None
            if match is None or name is None or name in values:
                raise UsageError(
                    f"cannot read the block string '{text}'",
                    cause=f"the token '{token}' is unknown or stands twice",
                    hint="a string such as r2_k3_s2_e6_i16_o24_se0.25",
                )
            values[name] = float(match[2])
        missing = [name for name in names.values() if name not in values and name != "se_ratio"]
        if missing:
            raise UsageError(f"the block string '{text}' lacks {', '.join(missing)}")
        se_ratio = values.pop("se_ratio", 0.0)
        return cls(**{name: int(value) for name, value in values.items()}, se_ratio=se_ratio)


@dataclass(frozen=True)
class ModelSpec:
    """A variant of the family, complete: what is needed to build its Graph and feed it.

    Attributes:
        name: the short name, for example ``b0``.
        width: multiplier of every channel count (not of a fixed stem and head).
        depth: multiplier of every repeat count (not of the first and last stage when fixed).
        resolution: side of the square input in pixels.
        dropout: rate before the classifier.
        activation: ``swish`` or ``relu6``, everywhere but in the projections.
        squeeze_excite: whether the blocks' squeeze-excite is built.
        fixed_stem_head: the Lite rule: stem, head, and first and last stage are not scaled.
        mean: per channel, RGB, in pixel units (0 to 255).
        std: per channel, RGB, in pixel units.
        stages: block strings.
        stem: channels of the stem before scaling.
        head: channels of the head before scaling.
        survival: probability that the last block's residual branch is kept in training.
    """

    name: str
    width: float
    depth: float
    resolution: int
    dropout: float
    activation: str = "swish"
    squeeze_excite: bool = True
    fixed_stem_head: bool = False
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    stages: tuple[str, ...] = V1_STAGES
    stem: int = 32
    head: int = 1280
    survival: float = 0.8

    @property
    def stem_filters(self) -> int:
        """Channels of the stem."""
        return self.stem if self.fixed_stem_head else round_filters(self.stem, self.width)

    @property
    def head_filters(self) -> int:
        """Channels of the head, which is the length of the embedding."""
        return self.head if self.fixed_stem_head else round_filters(self.head, self.width)

    def scaled_stages(self) -> tuple[StageSpec, ...]:
        """The stages after compound scaling."""
        scaled = []
        for index, text in enumerate(self.stages):
            stage = StageSpec.parse(text)
            fixed = self.fixed_stem_head and index in (0, len(self.stages) - 1)
            scaled.append(
                replace(
                    stage,
                    repeats=stage.repeats if fixed else round_repeats(stage.repeats, self.depth),
                    # The first block reads the stem, whose width may be fixed.
                    in_filters=self.stem_filters
                    if index == 0
                    else round_filters(stage.in_filters, self.width),
                    out_filters=round_filters(stage.out_filters, self.width),
                    se_ratio=stage.se_ratio if self.squeeze_excite else 0.0,
                )
            )
        return tuple(scaled)


def round_filters(filters: int, width: float, divisor: int = 8) -> int:
    """Scales a channel count to a multiple of ``divisor``, never below 90 % of the exact value.

    Source: ``round_filters`` of the released EfficientNet code (tensorflow/tpu).
    """
    exact = filters * width
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scales a repeat count, rounded up (``round_repeats`` of the released code)."""
    return math.ceil(depth * repeats)


def _lite(number: int, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return ModelSpec(
        name=f"lite{number}",
        width=width,
        depth=depth,
        resolution=resolution,
        dropout=dropout,
        activation="relu6",
        squeeze_excite=False,
        fixed_stem_head=True,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
    )


SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec("b0", 1.0, 1.0, 224, 0.2),
        ModelSpec("b1", 1.0, 1.1, 240, 0.2),
        ModelSpec("b2", 1.1, 1.2, 260, 0.3),
        ModelSpec("b3", 1.2, 1.4, 300, 0.3),
        ModelSpec("b4", 1.4, 1.8, 380, 0.4),
        ModelSpec("b5", 1.6, 2.2, 456, 0.4),
        ModelSpec("b6", 1.8, 2.6, 528, 0.5),
        ModelSpec("b7", 2.0, 3.1, 600, 0.5),
        _lite(0, 1.0, 1.0, 224, 0.2),
        _lite(1, 1.0, 1.1, 240, 0.2),
        _lite(2, 1.1, 1.2, 260, 0.3),
        _lite(3, 1.2, 1.4, 280, 0.3),
        _lite(4, 1.4, 1.8, 300, 0.3),
    )
}


def find_spec(name: str) -> ModelSpec:
    """Looks a variant up by the names that people write: ``b0``, ``EfficientNet-B0``, ``lite0``.

    Raises:
        UsageError: no such variant; the hint names the nearest.
    """
    key = re.sub(r"[-_ ]", "", name.lower())
    key = re.sub(r"^(tf)?efficientnet", "", key)
    if key not in SPECS:
        raise UsageError(f"unknown model '{name}'", hint=did_you_mean(key, SPECS))
    return SPECS[key]
