"""Networks of others that are made of the family's blocks: what compound scaling is compared on.

Sources: MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2), MnasNet-A1 and B1 (Tan et al.
2019, arXiv 1807.11626, figure 7, and tensorflow/tpu, ``models/official/mnasnet``). Scaled to fewer
channels than their own, their stem and head shrink as well, which MobileNetV2's head does not.
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.efficientnet.stages import Stages

MOBILENET_V2_STAGES: Stages = (
    "r1_k3_s1_e1_i32_o16",
    "r2_k3_s2_e6_i16_o24",
    "r3_k3_s2_e6_i24_o32",
    "r4_k3_s2_e6_i32_o64",
    "r3_k3_s1_e6_i64_o96",
    "r3_k3_s2_e6_i96_o160",
    "r1_k3_s1_e6_i160_o320",
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
_MNASNET_A1 = ModelSpec(
    "mnasnet-a1", 1.0, 1.0, 224, 0.2, activation="relu", stages=MNASNET_A1_STAGES
)
BASELINES: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "mobilenet-v2",
            1.0,
            1.0,
            224,
            0.2,
            activation="relu6",
            squeeze_excite=False,
            stages=MOBILENET_V2_STAGES,
        ),
        _MNASNET_A1,
        replace(_MNASNET_A1, name="mnasnet-b1", squeeze_excite=False, stages=MNASNET_B1_STAGES),
    )
}
