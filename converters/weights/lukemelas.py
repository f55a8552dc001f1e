"""Names and layouts of EfficientNet-PyTorch (github.com/lukemelas), and of what builds on it.

Source: its ``model.py`` and ``utils.py``. It ports Google's weights of B0 to B8: TensorFlow's
padding and its epsilon of 1e-3. A network of it that was built for one input size keeps the padding
of that size at every other; ours pads by the size that it runs at, which is the same at the size
that the network was built for.
"""

from __future__ import annotations

import re
from dataclasses import replace

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import (
    TORCH,
    TORCH_COUNTERS,
    TORCH_SUFFIXES,
    Names,
    Plan,
    Request,
    Source,
    input_assumption,
    matching,
)
from edgekit.errors import UsageError

_SHARED = {
    "depthwise": ("_depthwise_conv", "_bn1"),
    "se_reduce": ("_se_reduce", ""),
    "se_expand": ("_se_expand", ""),
    "project": ("_project_conv", "_bn2"),
}
NAMES = Names(
    top={"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1"), "logits": ("_fc", "")},
    prefix="_blocks.{block}.",
    blocks={"mbconv": {"expand": ("_expand_conv", "_bn0"), **_SHARED}, "mbconv-e1": _SHARED},
    suffixes=TORCH_SUFFIXES,
)
VARIANTS = ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l2")
#: The layers before the classifier.
BACKBONE = r"_(conv_stem|bn0|blocks|conv_head|bn1)\..*"
#: How the published files of AdvProp are called; those photos were scaled to [-1, 1]. B8 was
#: published in that form alone.
ADVPROP = r"adv-efficientnet-b\d"
HALF = (127.5, 127.5, 127.5)


def _plan(file: WeightFile, request: Request) -> Plan:
    spec = replace(request.spec, padding="same", epsilon=1e-3)
    base = spec.name.partition("-")[0]  # of a scaled variant, what it was scaled from
    if base not in VARIANTS:
        raise UsageError(
            f"EfficientNet-PyTorch has no {spec.name}", hint=f"one of {', '.join(VARIANTS)}"
        )
    if re.search(ADVPROP, file.path.name.lower()):
        spec = replace(spec, mean=HALF, std=HALF)
        why = "by the file's name, weights of AdvProp"
    else:
        why = (
            "a state dict does not say; they are ImageNet's, which all its weights but those of "
            "AdvProp were trained with (mean and std 127.5)"
        )
    return Plan(
        NAMES.of(request.graph),
        spec,
        BACKBONE,
        matching(TORCH_COUNTERS, file.shapes),
        assumptions=(input_assumption(spec, why),),
    )


SIGNS = (("_conv_stem.weight", "_bn0.weight"),)
SOURCE = Source("lukemelas", SIGNS, _plan, TORCH, separator=".")
