"""timm's names and layouts, for its own weights and for its ports of TensorFlow's.

Source: timm, ``efficientnet.py``, ``mobilenetv3.py`` and ``_efficientnet_blocks.py``. Both kinds
have the same tensor names, and the numbers cannot tell them apart: the ports
(``tf_efficientnet_*``) pad like TensorFlow and normalise with epsilon 1e-3, timm's own
(``efficientnet_*``) pad symmetrically with 1e-5. Its ResNets have torchvision's names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.converters.weights.file import WeightFile, json_of
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
from edgekit.converters.weights.open import Advice
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.baselines import LIBRARY_NAMES, baseline_of
from edgekit.networks.efficientnet.spec import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

_SE = {"se_reduce": ("se.conv_reduce", ""), "se_expand": ("se.conv_expand", "")}

NAMES = Names(
    top={"stem": ("conv_stem", "bn1"), "head": ("conv_head", "bn2"), "logits": ("classifier", "")},
    prefix="blocks.{stage0}.{repeat}.",
    blocks={
        "mbconv": {
            "expand": ("conv_pw", "bn1"),
            "depthwise": ("conv_dw", "bn2"),
            "project": ("conv_pwl", "bn3"),
            **_SE,
        },
        # Without an expansion convolution, timm counts on from the depthwise one.
        "mbconv-e1": {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2"), **_SE},
        "fused": {"expand": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2"), **_SE},
        "fused-e1": {"project": ("conv", "bn1")},
    },
    suffixes=TORCH_SUFFIXES,
)
#: MobileNetV3 has the last convolution of the map among the blocks.
NAMES_V3 = replace(
    NAMES,
    top={
        **NAMES.top,
        "head": ("blocks.{last}.0.conv", "blocks.{last}.0.bn1"),
        "hidden": ("conv_head", ""),
    },
)

#: The layers before the classifier.
BACKBONE = r"(conv_stem|bn1|blocks|conv_head|bn2)\..*"
#: timm publishes its own weights for these; for the other variants, ports alone.
OWN_WEIGHTS = {"b0", "b1", "b2", "b3", "b4", "b5", "es", "em", "el", "lite0"}
#: Baselines whose photos timm scaled as the variant says, not as ImageNet's usually are.
OWN_INPUT = ("mobilenet-v1",)
#: How names of models begin.
NAMED = r"(tf_efficientnet(v2)?|efficientnet|(tf_)?mobilenetv\d|(se)?mnasnet)"
#: Training tags whose photos were scaled to [-1, 1], whatever the variant's default is.
HALF_TAGS = r"(^|[._-])(ap(_in1k)?|ra4_e3600\w*)($|[._-])"
HALF = (127.5, 127.5, 127.5)
OWN_EPSILON = 1e-5


def _plan(file: WeightFile, request: Request, spec: ModelSpec) -> Plan:
    spec, notes, assumptions = _preprocessing(file, spec)
    names = NAMES_V3 if spec.head_layers == "pooled" else NAMES
    return Plan(
        names.of(request.graph),
        spec,
        BACKBONE,
        matching(TORCH_COUNTERS, file.shapes),
        notes,
        assumptions,
    )


def _plan_own(file: WeightFile, request: Request) -> Plan:
    spec = replace(request.spec, padding="symmetric", epsilon=OWN_EPSILON)
    if baseline_of(spec.name) not in OWN_INPUT:
        spec = replace(spec, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return _plan(file, request, spec)


def _plan_port(file: WeightFile, request: Request) -> Plan:
    return _plan(file, request, replace(request.spec, padding="same", epsilon=1e-3))


SIGNS = (("conv_stem.weight", "bn1.weight"),)
OWN = Source("timm", SIGNS, _plan_own, TORCH, separator=".")
PORT = Source("timm-tf", SIGNS, _plan_port, TORCH, separator=".")


def tell(file: WeightFile, spec: ModelSpec, advice: Advice) -> tuple[Source, str]:
    """Decides whether a timm file is timm's own or a port, from what lies around the numbers.

    Returns:
        The source, and what was assumed of the padding; empty where nothing was.
    """
    record = _recorded_name(file)
    name = record or _name_in_path(file.path)
    known = LIBRARY_NAMES.get(baseline_of(spec.name))
    if name is None and known and not known.port:
        return OWN, ""
    if name is None and (known.timm if known else spec.name in OWN_WEIGHTS):
        note = (
            "the file does not say how the network pads: read as a port from TensorFlow (timm-tf); "
            f"if it is timm's own training, say {advice.source.format('timm')}"
        )
        return PORT, note
    if name is None or name.startswith("tf_"):
        return PORT, ""
    note = (
        f"by its name '{name}', read as timm's own training, which pads symmetrically; "
        f"if it is a port from TensorFlow, say {advice.source.format('timm-tf')}"
    )
    return OWN, "" if record else note


def _recorded_name(file: WeightFile) -> str | None:
    """The name of the model in timm, from a ``config.json`` or the file's metadata."""
    for record in (_config(file.path), file.metadata):
        name = record.get("architecture")
        if isinstance(name, str) and re.match(NAMED, name):
            return name
    return None


def _name_in_path(path: Path) -> str | None:
    """The same from the names of the file and its folders, as timm and hubs publish them."""
    for part in (path.name, *(folder.name for folder in path.absolute().parents[:3])):
        match = re.search(rf"{NAMED}_[a-z0-9]+", part.lower())
        if match:
            return match[0]
    return None


def _config(path: Path) -> dict[str, Any]:
    """The ``config.json`` that model hubs put beside the weights; empty without one."""
    beside = path.with_name("config.json")
    if not beside.is_file() or beside.stat().st_size > 2**20:
        return {}
    try:
        return dict(json_of(beside.read_text(encoding="utf-8"), "config.json"))
    except (OSError, ValueError):
        return {}


def _preprocessing(
    file: WeightFile, spec: ModelSpec
) -> tuple[ModelSpec, tuple[str, ...], tuple[str, ...]]:
    """What the weights expect, from ``config.json`` or metadata, else from the training tag.

    Returns:
        The spec with it, notes, and what was assumed.
    """
    for record, where in ((_config(file.path), "config.json"), (file.metadata, "its metadata")):
        # timm's first records on hubs had the same keys beside the architecture.
        config = record.get("pretrained_cfg", record if "mean" in record else None)
        if isinstance(config, str):  # safetensors metadata holds text alone
            with_config = _parsed(config)
        else:
            with_config = config if isinstance(config, Mapping) else {}
        if with_config:
            return _with_config(spec, with_config), _noted(with_config, where), ()
    if re.search(HALF_TAGS, file.path.stem.lower()):
        spec, why = replace(spec, mean=HALF, std=HALF), "as the training in its name used them"
    else:
        why = "a state dict does not say; they are the default of timm's model"
    return spec, (), (input_assumption(spec, why),)


def _noted(config: Mapping[str, Any], where: str) -> tuple[str, ...]:
    notes: tuple[str, ...] = (f"preprocessing from {where}",)
    if config.get("crop_mode") == "squash":
        notes += (
            "timm evaluates these weights on whole photos, stretched to a square (crop_mode "
            "squash); here the crop is from the centre unless stretching is asked for",
        )
    return notes


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        return dict(json_of(text, "pretrained_cfg"))
    except ValueError:
        return {}


def _with_config(spec: ModelSpec, config: Mapping[str, Any]) -> ModelSpec:
    """Timm's record of preprocessing: mean and std over 0 to 1, the crop, the resampling."""
    try:
        mean, std = (
            _pixel_units(config[key]) if key in config else getattr(spec, key)
            for key in ("mean", "std")
        )
        crop = float(config.get("crop_pct", spec.crop))
    except (TypeError, ValueError) as error:
        raise UsageError(
            "the weights' config.json cannot be used", cause=f"pretrained_cfg: {error}"
        ) from error
    interpolation = config.get("interpolation", spec.interpolation)
    if interpolation not in ("bicubic", "bilinear") or not 0 < crop <= 1 or min(std) <= 0:
        raise UsageError(
            "the weights' config.json cannot be used",
            cause=f"interpolation {interpolation!r}, crop_pct {crop}, std {std}",
        )
    return replace(spec, mean=mean, std=std, crop=crop, interpolation=interpolation)


def _pixel_units(values: Any) -> tuple[float, float, float]:
    red, green, blue = (round(255 * float(value), 6) for value in values)
    return red, green, blue


def model_name(model: str, prefix: str) -> str:
    """``b0`` is ``efficientnet_b0``, ``v2-s`` is ``efficientnetv2_s``; ports begin with ``tf_``."""
    if model in LIBRARY_NAMES:
        return LIBRARY_NAMES[model].port if prefix else LIBRARY_NAMES[model].timm
    ours = model.replace("-", "_")
    return f"{prefix}efficientnet{ours}" if "-" in model else f"{prefix}efficientnet_{ours}"
