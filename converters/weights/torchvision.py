"""torchvision's names and layouts, and the preprocessing of the weights that it publishes.

Source: torchvision, ``models/efficientnet.py``, ``mobilenetv2.py``, ``mobilenetv3.py``,
``mnasnet.py`` and ``resnet.py``. It pads symmetrically everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN, IMAGENET_STD

NAMES = Names(
    top={
        "stem": ("features.0.0", "features.0.1"),
        "head": ("features.{after}.0", "features.{after}.1"),
        "logits": ("classifier.1", ""),
    },
    prefix="features.{stage}.{repeat}.block.",
    blocks={
        "mbconv": {
            "expand": ("0.0", "0.1"),
            "depthwise": ("1.0", "1.1"),
            "se_reduce": ("2.fc1", ""),
            "se_expand": ("2.fc2", ""),
            "project": ("3.0", "3.1"),
        },
        "mbconv-e1": {
            "depthwise": ("0.0", "0.1"),
            "se_reduce": ("1.fc1", ""),
            "se_expand": ("1.fc2", ""),
            "project": ("2.0", "2.1"),
        },
        "fused": {"expand": ("0.0", "0.1"), "project": ("1.0", "1.1")},
        "fused-e1": {"project": ("0.0", "0.1")},
    },
    suffixes=TORCH_SUFFIXES,
)


_FEATURES = {
    "stem": ("features.0.0", "features.0.1"),
    "head": ("features.{behind}.0", "features.{behind}.1"),
}
MOBILENET_V2 = Names(
    top={**_FEATURES, "logits": ("classifier.1", "")},
    prefix="features.{block1}.conv.",
    blocks={
        "mbconv": {
            "expand": ("0.0", "0.1"),
            "depthwise": ("1.0", "1.1"),
            "project": ("2", "3"),
        },
        "mbconv-e1": {"depthwise": ("0.0", "0.1"), "project": ("1", "2")},
    },
    suffixes=TORCH_SUFFIXES,
)
_PROJECT = ("{project}.0", "{project}.1")
MOBILENET_V3 = Names(
    top={**_FEATURES, "hidden": ("classifier.0", ""), "logits": ("classifier.3", "")},
    prefix="features.{block1}.block.",
    # Not every block has a squeeze-excite to count.
    blocks={
        kind: {**layers, "project": _PROJECT}
        for kind, layers in NAMES.blocks.items()
        if kind.startswith("mbconv")
    },
    suffixes=TORCH_SUFFIXES,
)
_STACK = "{stage6}.{repeat}.layers."
MNASNET = Names(
    top={
        "stem": ("layers.0", "layers.1"),
        "head": ("layers.14", "layers.15"),
        "logits": ("classifier.1", ""),
    },
    prefix="layers.",
    blocks={
        "mbconv": {
            "expand": (f"{_STACK}0", f"{_STACK}1"),
            "depthwise": (f"{_STACK}3", f"{_STACK}4"),
            "project": (f"{_STACK}6", f"{_STACK}7"),
        },
        "mbconv-e1": {"depthwise": ("3", "4"), "project": ("6", "7")},
    },
    suffixes=TORCH_SUFFIXES,
)
_CONVOLUTIONS = {
    **{f"conv{number}": (f"conv{number}", f"bn{number}") for number in (1, 2, 3)},
    "shortcut": ("downsample.0", "downsample.1"),
}
RESNET = Names(
    top={"stem": ("conv1", "bn1"), "logits": ("fc", "")},
    prefix="layer{stage}.{repeat}.",
    blocks=dict.fromkeys(("basic", "bottleneck"), _CONVOLUTIONS),
    suffixes=TORCH_SUFFIXES,
)


@dataclass(frozen=True)
class Kind:
    """Networks that are written down alike.

    Attributes:
        names: of their tensors.
        epsilon: of their batch normalizations.
        backbone: a pattern of the names of all layers before the classifier.
    """

    names: Names
    epsilon: float
    backbone: str = r"features\..*"


#: Baselines, by a tensor that no other kind has.
KINDS: Mapping[str, Kind] = {
    "features.1.conv.0.0.weight": Kind(MOBILENET_V2, 1e-5),
    "features.1.block.0.0.weight": Kind(MOBILENET_V3, 1e-3, r"(features|classifier\.0)\..*"),
    "layers.8.0.layers.0.weight": Kind(MNASNET, 1e-5, r"layers\..*"),
    "layer1.0.conv1.weight": Kind(RESNET, 1e-5, r"(conv1|bn1|layer\d)\..*"),
}

#: Crop over resize in pixels, and the resampling, of each variant's first published weights.
EVALUATION = {
    "b0": (224, 256, "bicubic"),
    "b1": (240, 256, "bicubic"),
    "b2": (288, 288, "bicubic"),
    "b3": (300, 320, "bicubic"),
    "b4": (380, 384, "bicubic"),
    "b5": (456, 456, "bicubic"),
    "b6": (528, 528, "bicubic"),
    "b7": (600, 600, "bicubic"),
    "v2-s": (384, 384, "bilinear"),
    "v2-m": (480, 480, "bilinear"),
    "v2-l": (480, 480, "bicubic"),
}
#: Of the baselines' first weights.
USUAL = (224, 256, "bilinear")
#: Weights that were published later, by the hash in their file's name.
LATER = {
    "c27df63c": (240, 255, "bilinear"),  # b1
    "7ebf99e0": (224, 232, "bilinear"),  # mobilenet_v2
    "5c1a4163": (224, 232, "bilinear"),  # mobilenet_v3_large
    "11ad3fa6": (224, 232, "bilinear"),  # resnet50
}
#: Normalised with torch's own epsilon; the others with TensorFlow's.
SMALL_EPSILON = {"b0", "b1", "b2", "b3", "b4"}
HALF = (127.5, 127.5, 127.5)


def _plan(file: WeightFile, request: Request) -> Plan:
    spec = request.spec
    kind = next((kind for sign, kind in KINDS.items() if sign in file.shapes), None)
    if kind is None:
        if spec.name not in EVALUATION:
            known = f"one of {', '.join(EVALUATION)}"
            raise UsageError(f"torchvision has no {spec.name} with such weights", hint=known)
        kind = Kind(NAMES, 1e-5 if spec.name in SMALL_EPSILON else 1e-3)
    later = [found for digest, found in LATER.items() if digest in file.path.name]
    crop, resize, interpolation = later[0] if later else EVALUATION.get(spec.name, USUAL)
    spec = replace(
        spec,
        padding="symmetric",
        epsilon=kind.epsilon,
        mean=HALF if spec.name == "v2-l" else IMAGENET_MEAN,
        std=HALF if spec.name == "v2-l" else IMAGENET_STD,
        interpolation=interpolation,
        crop=crop / resize,
    )
    why = "a state dict does not say; they are those of torchvision's own weights"
    return Plan(
        kind.names.of(request.graph),
        spec,
        kind.backbone,
        matching(TORCH_COUNTERS, file.shapes),
        assumptions=(input_assumption(spec, why),),
    )


def _view(file: WeightFile) -> WeightFile:
    """MobileNetV3's layer behind the mean, which is a dense one there, as a convolution."""
    name = "classifier.0.weight"
    shape = file.shapes.get(name, ())
    if "classifier.3.weight" not in file.shapes or len(shape) != 2:
        return file
    return file.reshaped(name, (*shape, 1, 1))


SIGNS = (
    ("features.0.0.weight", "features.0.1.weight"),
    ("layers.0.weight", "layers.8.0.layers.0.weight"),
    ("conv1.weight", "layer1.0.conv1.weight"),
)
SOURCE = Source("torchvision", SIGNS, _plan, TORCH, separator=".", view=_view)
