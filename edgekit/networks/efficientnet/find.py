"""A variant by its name, as people write it, or by a file of theirs."""

from __future__ import annotations

import re
from dataclasses import replace

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.decoders import DECODERS
from edgekit.networks.detection.detectors import PUBLISHED, Detector, detector_on
from edgekit.networks.efficientnet.baselines import BASELINES, LIBRARY_NAMES
from edgekit.networks.efficientnet.model_files import ENDING, read_model
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec

#: Names of networks for segmentation: ``unet-lite0``, ``U-Net b0``, ``DeepLabV3+-v2-s``.
SEGMENTATION = r"(?P<kind>u-?net|deeplab)(?:v3(?:\+|plus)?)?(?:[-_ ](?P<backbone>.*)|)"


def find_spec(name: str) -> ModelSpec:
    """Looks a variant up by the names that people write.

    ``b0``, ``EfficientNet-B0``, ``tf_efficientnet_lite0``, ``efficientnetv2-s``, ``edgetpu-s`` and
    ``tf_efficientnet_b0.ns_jft_in1k`` (timm's name with its training tag) are all understood; each
    with ``unet-`` or ``deeplab-`` in front is a network for segmentation. ``d0``, ``det-lite0``,
    ``tf_efficientdet_d0``, ``EfficientDet-Lite3x`` and ``det-v2-b0`` are detectors;
    ``mobilenet-v2``, ``resnet-50`` and others of `BASELINES` are known by the names that Keras,
    timm and torchvision have for them as well. What ends with ``.toml`` is a file of a network
    (`edgekit.networks.efficientnet.model_files`).

    Raises:
        UsageError: no such variant; the hint names the nearest. Or the file cannot be used, or
            there is no detector on this network.
    """
    if name.lower().endswith(ENDING):
        return read_model(name, find_spec)
    match = re.fullmatch(SEGMENTATION, name, re.IGNORECASE)
    if match is None:
        found = _find_detector(name) or _find_backbone(name)
        if found is None:
            known = [*SPECS, *BASELINES, *PUBLISHED, *(f"det-{one}" for one in SPECS)]
            raise UsageError(f"unknown model '{name}'", hint=did_you_mean(name.lower(), known))
        return found
    kind = match["kind"].lower().replace("-", "")
    backbone = _find_backbone(match["backbone"] or "")
    if backbone is None:
        known = [f"{kind}-{one}" for one in SPECS]
        raise UsageError(f"unknown model '{name}'", hint=did_you_mean(name.lower(), known))
    return backbone.with_decoder(DECODERS[kind]())


def _find_detector(name: str) -> ModelSpec | None:
    key = _plain(name.partition(".")[0])
    rest = re.sub(r"^(tf)?(efficient)?det", "", key)
    for row in PUBLISHED.values():
        # Lite's names need the word; that of a D is one without it.
        if _plain(row.name.removeprefix("det-")) == rest and (rest != key or row.name == key):
            return _detector(row)
    backbone = _find_backbone(rest) if rest != key else None
    if backbone is not None and backbone.name in BASELINES:
        raise UsageError(
            f"there is no detector on {backbone.name}",
            cause="none is published whose sizes could be taken",
            hint="det-b0 or another of the family; unet-NAME and deeplab-NAME take it",
        )
    return _detector(detector_on(backbone.name)) if backbone else None


def _detector(row: Detector) -> ModelSpec:
    spec = SPECS[row.backbone].with_decoder(row.decoder)
    return replace(spec, name=row.name, resolution=row.resolution)


def _find_backbone(name: str) -> ModelSpec | None:
    key = _plain(name.partition(".")[0])
    key = re.sub(r"^(tf)?efficientnet", "", key)
    key = re.sub(r"^edgetpu(s|m|l)(mall|edium|arge)?$", r"e\1", key)
    known = (*SPECS.values(), *BASELINES.values())
    found = next((spec for spec in known if _plain(spec.name) == key), None)
    names = ((name, one) for name, known in LIBRARY_NAMES.items() for one in known)
    return found or next((BASELINES[name] for name, one in names if _plain(one) == key), None)


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())
