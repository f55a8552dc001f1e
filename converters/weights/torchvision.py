"""torchvision's names and layouts, and the preprocessing of the weights that it publishes.

Source: torchvision, ``models/efficientnet.py``. It pads symmetrically everywhere.
"""

from __future__ import annotations

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
#: Weights that were published later, by the hash in their file's name.
LATER = {"c27df63c": (240, 255, "bilinear")}  # b1
#: Normalised with torch's own epsilon; the others with TensorFlow's.
SMALL_EPSILON = {"b0", "b1", "b2", "b3", "b4"}
HALF = (127.5, 127.5, 127.5)


def _plan(file: WeightFile, request: Request) -> Plan:
    spec = request.spec
    if spec.name not in EVALUATION:
        raise UsageError(f"torchvision has no {spec.name}", hint=f"one of {', '.join(EVALUATION)}")
    later = [found for digest, found in LATER.items() if digest in file.path.name]
    crop, resize, interpolation = later[0] if later else EVALUATION[spec.name]
    spec = replace(
        spec,
        padding="symmetric",
        epsilon=1e-5 if spec.name in SMALL_EPSILON else 1e-3,
        mean=HALF if spec.name == "v2-l" else IMAGENET_MEAN,
        std=HALF if spec.name == "v2-l" else IMAGENET_STD,
        interpolation=interpolation,
        crop=crop / resize,
    )
    why = "a state dict does not say; they are those of torchvision's own weights"
    return Plan(
        NAMES.of(request.graph),
        spec,
        r"features\..*",
        matching(TORCH_COUNTERS, file.shapes),
        assumptions=(input_assumption(spec, why),),
    )


SIGNS = (("features.0.0.weight", "features.0.1.weight"),)
SOURCE = Source("torchvision", SIGNS, _plan, TORCH, separator=".")
