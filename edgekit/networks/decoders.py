"""The decoders of all tasks: what follows a backbone in place of a classifier, as data."""

from __future__ import annotations

from typing import Any, TypeAlias

from edgekit.data.boxes.anchors import Anchors
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.segmentation.decoders import DeepLab, Segmenter, UNet

Decoder: TypeAlias = Segmenter | EfficientDet

#: By the word that records have, and that names of networks for segmentation begin with.
DECODERS: dict[str, type[Decoder]] = {
    "unet": UNet,
    "deeplab": DeepLab,
    "efficientdet": EfficientDet,
}


def kind_of(decoder: Decoder) -> str:
    """The key of a decoder's type in `DECODERS`."""
    return next(name for name, kind in DECODERS.items() if type(decoder) is kind)


def decoder_record(decoder: Decoder) -> dict[str, Any]:
    """A decoder as JSON values."""
    return {"kind": kind_of(decoder), **{k: _plain(v) for k, v in vars(decoder).items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Anchors):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value


def read_decoder(record: dict[str, Any]) -> Decoder:
    """Reads what `decoder_record` gave.

    Raises:
        KeyError, TypeError or ValueError: it is no such record.
    """
    fields: dict[str, Any] = dict(**record)
    kind: type[Any] = DECODERS[fields.pop("kind")]
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    if "anchors" in values:
        values["anchors"] = Anchors.from_dict(values["anchors"])
    decoder: Decoder = kind(**values)
    return decoder
