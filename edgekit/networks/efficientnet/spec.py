"""The family as data: every variant is a row, every stage of blocks a string.

Sources: EfficientNet (Tan and Le 2019, arXiv 1905.11946, table 1 and section 4) with the
released code's rounding rules, EfficientNet-Lite and EfficientNet-EdgeTPU (tensorflow/tpu), and
EfficientNetV2 (Tan and Le 2021, arXiv 2104.00298, table 4) with google/automl's code.
Nothing here imports a framework.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgekit.data.boxes.anchors import Anchors
from edgekit.networks.decoders import Decoder
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.stages import (
    EDGETPU_STAGES,
    V1_STAGES,
    V2_BASE_STAGES,
    V2_L_STAGES,
    V2_M_STAGES,
    V2_S_STAGES,
    V2_XL_STAGES,
    Stages,
    StageSpec,
)

#: Of ImageNet's pixels, RGB, 0 to 255: 255 times (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
#: What may be between the blocks and the classifier.
HEAD_LAYERS = ("conv", "pooled", "none")


@dataclass(frozen=True)
class ModelSpec:
    """A variant of the family, complete: what is needed to build its Graph and feed it.

    Attributes:
        name: the short name, for example ``b0``.
        width: multiplier of every channel count (not of a fixed stem and head).
        depth: multiplier of every repeat count (not of the first and last stage when fixed).
        resolution: side of the square input in pixels.
        dropout: rate before the classifier.
        activation: ``swish``, ``hard-swish``, ``relu6`` or ``relu``, everywhere but in the
            projections, and in stages that name another.
        squeeze_excite: whether the blocks' squeeze-excite is built.
        fixed_stem_head: the Lite rule: stem, head, and first and last stage are not scaled.
        mean: per channel, RGB, in pixel units (0 to 255).
        std: per channel, RGB, in pixel units.
        stages: block strings.
        stem: channels of the stem before scaling.
        head: channels of the head before scaling; nothing reads it where there is none.
        survival: probability that the last block's residual branch is kept in training.
        round_limit: a scaled channel count never falls below this share of the exact value.
        epsilon: of every batch normalization.
        padding: ``same``, as TensorFlow pads, or ``symmetric``, as torch does; they differ where
            the stride is 2. ``native`` is TensorFlow's for an input of ``resolution``, at any
            other size as well (lukemelas' EfficientNet-PyTorch). It belongs to the weights.
        interpolation: how photos are resized.
        crop: side of the centre square over a photo's shorter side, in evaluation.
        decoder: what follows the blocks in place of the head and the classifier, if anything does.
        stem_layers: ``conv3x3``, or ResNet's ``conv7x7-pool``, which halves its input twice.
        head_layers: between the blocks and the classifier: ``conv``, a convolution and the mean of
            its map; ``pooled`` (MobileNetV3), the same and a layer of ``hidden`` channels behind
            the mean; or ``none``, the mean alone.
        hidden: channels of the layer behind the mean before scaling, where there is one.
        shrinks_head: whether the last layer before the classifier has fewer channels than stated
            where the width is below 1; those of MobileNetV2 and V3 have not.
        squeeze_rule: ``efficientnet`` or ``mobilenet-v3``, a key of
            `edgekit.networks.efficientnet.block_plan.SQUEEZE_RULES`.
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
    stages: Stages = V1_STAGES
    stem: int = 32
    head: int = 1280
    survival: float = 0.8
    round_limit: float = 0.9
    epsilon: float = 1e-3
    padding: str = "same"
    interpolation: str = "bicubic"
    crop: float = 0.875
    decoder: Decoder | None = None
    stem_layers: str = "conv3x3"
    head_layers: str = "conv"
    hidden: int = 1280
    shrinks_head: bool = True
    squeeze_rule: str = "efficientnet"

    @property
    def task(self) -> str:
        """What the network is for; a package of `edgekit.tasks`."""
        return self.decoder.task if self.decoder else "classification"

    @property
    def backbone(self) -> ModelSpec:
        """The variant that the decoder is on; itself where there is none."""
        if self.decoder is None:
            return self
        return replace(self, name=self.decoder.backbone_in(self.name), decoder=None)

    @property
    def fit(self) -> str:
        """How a photo becomes a square input, one of `edgekit.data.placement.FITS`."""
        return self.decoder.fit if self.decoder else "crop"

    @property
    def usual_classes(self) -> int:
        """Of costs that name no number: ImageNet's, or those of the task's usual photos."""
        return self.decoder.usual_classes if self.decoder else 1000

    @property
    def anchors(self) -> Anchors | None:
        """What a detector's outputs are relative to; None of all other networks."""
        return self.decoder.anchors if isinstance(self.decoder, EfficientDet) else None

    def with_decoder(self, decoder: Decoder) -> ModelSpec:
        """The variant with a decoder on it, by a name such as ``unet-lite0``."""
        side, name = decoder.side_near(self.resolution), decoder.name_on(self.name)
        spec = replace(self, name=name, resolution=side, decoder=decoder)
        if isinstance(decoder, EfficientDet):
            # google/automl, efficientdet_keras.py: no drop connect in a backbone of that name.
            survival = 1.0 if "b0" in self.name else 0.8
            spec = replace(spec, survival=survival, interpolation="bilinear")
        return spec

    def side_near(self, side: int) -> int:
        """The side of an input near this one that suits the network best, in pixels."""
        return self.decoder.side_near(side) if self.decoder else side

    def filters(self, filters: int) -> int:
        """Scales a channel count by the width and this variant's rounding rule."""
        return round_filters(filters, self.width, limit=self.round_limit)

    @property
    def stem_filters(self) -> int:
        """Channels of the stem."""
        return self.stem if self.fixed_stem_head else self.filters(self.stem)

    @property
    def head_filters(self) -> int:
        """Channels of the map before the mean."""
        if self.head_layers == "none":
            return self.scaled_stages()[-1].out_filters
        if self.fixed_stem_head:
            return self.head
        return self.filters(self.head) if self.head_layers == "pooled" else self._last(self.head)

    @property
    def hidden_filters(self) -> int:
        """Channels of the layer behind the mean, where there is one."""
        return self.hidden if self.fixed_stem_head else self._last(self.hidden)

    def _last(self, filters: int) -> int:
        """Scales the channels of the last layer before the classifier."""
        width = self.width if self.shrinks_head else max(1.0, self.width)
        return round_filters(filters, width, limit=self.round_limit)

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
                    in_filters=self.filters(stage.in_filters),
                    out_filters=self.filters(stage.out_filters),
                    se_ratio=stage.se_ratio if self.squeeze_excite else 0.0,
                )
            )
        return tuple(scaled)


def round_filters(filters: int, width: float, *, divisor: int = 8, limit: float = 0.9) -> int:
    """Scales a channel count to a multiple of ``divisor``.

    Source: ``round_filters`` of the released EfficientNet code (tensorflow/tpu), where the
    result is never below 90 % of the exact value. EfficientNetV2's (google/automl) has no
    such limit.
    """
    exact = filters * width
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < limit * exact else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scales a repeat count, rounded up (``round_repeats`` of the released code)."""
    return math.ceil(depth * repeats)


def padded_crop(resolution: int) -> float:
    """The released code's evaluation crop: it leaves out 16 of the input's pixels on each side."""
    return resolution / (resolution + 32)


def _v1(name: str, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return ModelSpec(name, width, depth, resolution, dropout, crop=padded_crop(resolution))


def _lite(name: str, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return replace(
        _v1(name, width, depth, resolution, dropout),
        activation="relu6",
        squeeze_excite=False,
        fixed_stem_head=True,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
    )


def _edgetpu(name: str, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return replace(
        _v1(name, width, depth, resolution, dropout),
        activation="relu",
        squeeze_excite=False,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        stages=EDGETPU_STAGES,
    )


def _v2_base(name: str, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return replace(
        _v1(name, width, depth, resolution, dropout), stages=V2_BASE_STAGES, round_limit=0.0
    )


def _v2(name: str, stem: int, resolution: int, dropout: float, stages: Stages) -> ModelSpec:
    """The searched V2 models, not scaled. Above 320 px their evaluation does not crop."""
    return ModelSpec(
        name,
        1.0,
        1.0,
        resolution,
        dropout,
        mean=(128.0, 128.0, 128.0),
        std=(128.0, 128.0, 128.0),
        stages=stages,
        stem=stem,
        round_limit=0.0,
        interpolation="bilinear",
        crop=1.0,
    )


SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        _v1("b0", 1.0, 1.0, 224, 0.2),
        _v1("b1", 1.0, 1.1, 240, 0.2),
        _v1("b2", 1.1, 1.2, 260, 0.3),
        _v1("b3", 1.2, 1.4, 300, 0.3),
        _v1("b4", 1.4, 1.8, 380, 0.4),
        _v1("b5", 1.6, 2.2, 456, 0.4),
        _v1("b6", 1.8, 2.6, 528, 0.5),
        _v1("b7", 2.0, 3.1, 600, 0.5),
        _v1("b8", 2.2, 3.6, 672, 0.5),
        _v1("l2", 4.3, 5.3, 800, 0.5),
        _lite("lite0", 1.0, 1.0, 224, 0.2),
        _lite("lite1", 1.0, 1.1, 240, 0.2),
        _lite("lite2", 1.1, 1.2, 260, 0.3),
        _lite("lite3", 1.2, 1.4, 280, 0.3),
        _lite("lite4", 1.4, 1.8, 300, 0.3),
        _edgetpu("es", 1.0, 1.0, 224, 0.2),
        _edgetpu("em", 1.0, 1.1, 240, 0.2),
        _edgetpu("el", 1.2, 1.4, 300, 0.3),
        _v2_base("v2-b0", 1.0, 1.0, 224, 0.2),
        _v2_base("v2-b1", 1.0, 1.1, 240, 0.2),
        _v2_base("v2-b2", 1.1, 1.2, 260, 0.3),
        _v2_base("v2-b3", 1.2, 1.4, 300, 0.3),
        _v2("v2-s", 24, 384, 0.2, V2_S_STAGES),
        _v2("v2-m", 24, 480, 0.3, V2_M_STAGES),
        _v2("v2-l", 32, 480, 0.4, V2_L_STAGES),
        _v2("v2-xl", 32, 512, 0.4, V2_XL_STAGES),
    )
}
