"""Networks of others as rows of the family: what compound scaling is compared on.

Sources: MobileNetV1 (Howard et al. 2017, arXiv 1704.04861, table 1), MobileNetV2 (Sandler et al.
2018, arXiv 1801.04381, table 2), MobileNetV3 (Howard et al. 2019, arXiv 1905.02244, tables 1 and 2;
the minimalistic ones as in tensorflow/models, ``research/slim/nets/mobilenet``), MnasNet-A1 and B1
(Tan et al. 2019, arXiv 1807.11626, figure 7, and tensorflow/tpu, ``models/official/mnasnet``),
ResNet (He et al. 2015, arXiv 1512.03385, table 1) with torchvision's stride in the 3x3 convolution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace

from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.efficientnet.stages import Stages, StageSpec

MOBILENET_V1_STAGES: Stages = (
    "r1_k3_s1_e1_i32_o64_separable_noskip",
    "r2_k3_s2_e1_i64_o128_separable_noskip",
    "r2_k3_s2_e1_i128_o256_separable_noskip",
    "r6_k3_s2_e1_i256_o512_separable_noskip",
    "r2_k3_s2_e1_i512_o1024_separable_noskip",
)
MOBILENET_V2_STAGES: Stages = (
    "r1_k3_s1_e1_i32_o16",
    "r2_k3_s2_e6_i16_o24",
    "r3_k3_s2_e6_i24_o32",
    "r4_k3_s2_e6_i32_o64",
    "r3_k3_s1_e6_i64_o96",
    "r3_k3_s2_e6_i96_o160",
    "r1_k3_s1_e6_i160_o320",
)
MOBILENET_V3_LARGE_STAGES: Stages = (
    "r1_k3_s1_e1_i16_o16_nre",
    "r1_k3_s2_e4_i16_o24_nre",
    "r1_k3_s1_e3_i24_o24_nre_cont",
    "r3_k5_s2_e3_i24_o40_se0.25_nre",
    "r1_k3_s2_e6_i40_o80",
    "r1_k3_s1_e2.5_i80_o80_cont",
    "r2_k3_s1_e2.3_i80_o80_cont",
    "r2_k3_s1_e6_i80_o112_se0.25",
    "r3_k5_s2_e6_i112_o160_se0.25",
)
MOBILENET_V3_SMALL_STAGES: Stages = (
    "r1_k3_s2_e1_i16_o16_se0.25_nre",
    "r1_k3_s2_e4.5_i16_o24_nre",
    "r1_k3_s1_e3.67_i24_o24_nre_cont",
    "r1_k5_s2_e4_i24_o40_se0.25",
    "r2_k5_s1_e6_i40_o40_se0.25_cont",
    "r2_k5_s1_e3_i40_o48_se0.25",
    "r3_k5_s2_e6_i48_o96_se0.25",
)
MNASNET_A1_STAGES: Stages = (
    "r1_k3_s1_e1_i32_o16_noskip",
    "r2_k3_s2_e6_i16_o24",
    "r3_k5_s2_e3_i24_o40_se0.25",
    "r4_k3_s2_e6_i40_o80",
    "r2_k3_s1_e6_i80_o112_se0.25",
    "r3_k5_s2_e6_i112_o160_se0.25",
    "r1_k3_s1_e6_i160_o320",
)
MNASNET_B1_STAGES: Stages = (
    "r1_k3_s1_e1_i32_o16_noskip",
    "r3_k3_s2_e3_i16_o24",
    "r3_k5_s2_e3_i24_o40",
    "r3_k5_s2_e6_i40_o80",
    "r2_k3_s1_e6_i80_o96",
    "r4_k5_s2_e6_i96_o192",
    "r1_k3_s1_e6_i192_o320_noskip",
)
RESNET_18_STAGES: Stages = (
    "r2_k3_s1_e1_i64_o64_basic",
    "r2_k3_s2_e1_i64_o128_basic",
    "r2_k3_s2_e1_i128_o256_basic",
    "r2_k3_s2_e1_i256_o512_basic",
)
RESNET_50_STAGES: Stages = (
    "r3_k3_s1_e0.25_i64_o256_bottleneck",
    "r4_k3_s2_e0.25_i256_o512_bottleneck",
    "r6_k3_s2_e0.25_i512_o1024_bottleneck",
    "r3_k3_s2_e0.25_i1024_o2048_bottleneck",
)
#: Of pixels that are scaled to [-1, 1].
HALF = (127.5, 127.5, 127.5)


def _minimalistic(spec: ModelSpec) -> ModelSpec:
    """The same without what accelerators are slow at: 3x3 kernels, ReLU, no squeeze-excite."""
    stages = (StageSpec.parse(text) for text in spec.stages)
    plain = (replace(stage, kernel=3, se_ratio=0.0, activation="") for stage in stages)
    return replace(
        spec,
        name=f"{spec.name}-minimalistic",
        activation="relu",
        squeeze_excite=False,
        stages=tuple(map(str, plain)),
    )


_MOBILENET_V2 = ModelSpec(
    "mobilenet-v2",
    1.0,
    1.0,
    224,
    0.2,
    activation="relu6",
    squeeze_excite=False,
    stages=MOBILENET_V2_STAGES,
    shrinks_head=False,
)
_MOBILENET_V1 = replace(
    _MOBILENET_V2,
    name="mobilenet-v1",
    dropout=0.001,
    stages=MOBILENET_V1_STAGES,
    head_layers="none",
    shrinks_head=True,
    survival=1.0,
    mean=HALF,
    std=HALF,
)
_MOBILENET_V3_LARGE = ModelSpec(
    "mobilenet-v3-large",
    1.0,
    1.0,
    224,
    0.2,
    activation="hard-swish",
    stages=MOBILENET_V3_LARGE_STAGES,
    stem=16,
    head_layers="pooled",
    head=960,
    hidden=1280,
    shrinks_head=False,
    squeeze_rule="mobilenet-v3",
    survival=1.0,
    mean=HALF,
    std=HALF,
)
_MOBILENET_V3_SMALL = replace(
    _MOBILENET_V3_LARGE,
    name="mobilenet-v3-small",
    stages=MOBILENET_V3_SMALL_STAGES,
    head=576,
    hidden=1024,
)
_MNASNET_A1 = ModelSpec(
    "mnasnet-a1", 1.0, 1.0, 224, 0.2, activation="relu", stages=MNASNET_A1_STAGES
)
_RESNET_18 = ModelSpec(
    "resnet-18",
    1.0,
    1.0,
    224,
    0.0,
    activation="relu",
    squeeze_excite=False,
    stages=RESNET_18_STAGES,
    stem=64,
    stem_layers="conv7x7-pool",
    head_layers="none",
    survival=1.0,
    epsilon=1e-5,
)
BASELINES: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        _MOBILENET_V1,
        _MOBILENET_V2,
        _MOBILENET_V3_LARGE,
        _MOBILENET_V3_SMALL,
        _minimalistic(_MOBILENET_V3_LARGE),
        _minimalistic(_MOBILENET_V3_SMALL),
        _MNASNET_A1,
        replace(_MNASNET_A1, name="mnasnet-b1", squeeze_excite=False, stages=MNASNET_B1_STAGES),
        _RESNET_18,
        replace(_RESNET_18, name="resnet-50", stages=RESNET_50_STAGES),
    )
}


@dataclass(frozen=True)
class Names:
    """How libraries call a network; empty where one does not have it.

    Attributes:
        timm: what timm has trained itself.
        port: timm's port of TensorFlow's weights.
        torchvision: a function of ``torchvision.models``.
        keras: a function of ``keras.applications``; two networks may have the same.
    """

    timm: str = ""
    port: str = ""
    torchvision: str = ""
    keras: str = ""

    def __iter__(self) -> Iterator[str]:
        return (name for name in astuple(self) if name)


#: By the name of a baseline.
LIBRARY_NAMES: dict[str, Names] = {
    "mobilenet-v1": Names("mobilenetv1_100", keras="MobileNet"),
    "mobilenet-v2": Names("mobilenetv2_100", "", "mobilenet_v2", "MobileNetV2"),
    "mobilenet-v3-large": Names(
        "mobilenetv3_large_100",
        "tf_mobilenetv3_large_100",
        "mobilenet_v3_large",
        "MobileNetV3Large",
    ),
    "mobilenet-v3-small": Names(
        "mobilenetv3_small_100",
        "tf_mobilenetv3_small_100",
        "mobilenet_v3_small",
        "MobileNetV3Small",
    ),
    "mobilenet-v3-large-minimalistic": Names(
        port="tf_mobilenetv3_large_minimal_100", keras="MobileNetV3Large"
    ),
    "mobilenet-v3-small-minimalistic": Names(
        port="tf_mobilenetv3_small_minimal_100", keras="MobileNetV3Small"
    ),
    "mnasnet-a1": Names("semnasnet_100"),
    "mnasnet-b1": Names("mnasnet_100", torchvision="mnasnet1_0"),
    "resnet-18": Names("resnet18", torchvision="resnet18"),
    "resnet-50": Names("resnet50", torchvision="resnet50"),
}


def baseline_of(name: str) -> str:
    """The baseline that a network is, or was scaled from; empty where there is none.

    Args:
        name: of the network, such as ``mobilenet-v2-w0.5``.
    """
    scaled = r"(-(w|d|a|b|g|phi)-?[\d.e-]+)*"
    found = (one for one in BASELINES if re.fullmatch(re.escape(one) + scaled, name))
    return next(found, "")
