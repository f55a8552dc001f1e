"""How photos are prepared for the weights of a variant."""

from __future__ import annotations

from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.efficientnet.spec import ModelSpec


def preprocessing_of(
    spec: ModelSpec,
    resolution: int,
    labels: tuple[str, ...] = (),
    *,
    crop: float | None = None,
    fit: str | None = None,
) -> Preprocessing:
    """The record of a network's input; normalization, crop and interpolation are the weights'.

    Args:
        spec: the variant, with what its weights brought along.
        resolution: side of the square input in pixels.
        labels: names of the classes.
        crop: share of the shorter side that the centre crop keeps, instead of the weights'; they
            are a classifier's, and a mask or a box loses nothing to a crop of its own.
        fit: how a photo becomes square, instead of the variant's way.
    """
    fit = fit or spec.fit
    whole = fit != "crop" or spec.decoder is not None
    return Preprocessing(
        resolution,
        spec.mean,
        spec.std,
        labels,
        crop_fraction=crop or (1.0 if whole else spec.crop),
        interpolation=spec.interpolation,
        task=spec.task,
        fit=fit,
        anchors=spec.anchors,
    )
