"""The decoder that a file of weights holds, beside the one that was asked for."""

from __future__ import annotations

from dataclasses import replace

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import Request
from edgekit.errors import UsageError
from edgekit.networks.decoders import Decoder, kind_of
from edgekit.networks.detection.detectors import PUBLISHED, EfficientDet
from edgekit.networks.segmentation.decoders import DeepLab, Segmenter, UNet


def check_decoder(file: WeightFile, request: Request, theirs: Decoder) -> Decoder:
    """The decoder that was asked for, with what belongs to these weights.

    Raises:
        UsageError: theirs has other layers.
    """
    if isinstance(theirs, EfficientDet):
        return check_detector(file, request, theirs)
    return check_segmenter(file, request, theirs)


def check_detector(file: WeightFile, request: Request, theirs: EfficientDet) -> EfficientDet:
    """The detector in a file: all that is not a size belongs to the weights.

    Raises:
        UsageError: theirs has other layers.
    """
    _check_layers(file, request, theirs)
    return theirs


def check_segmenter(file: WeightFile, request: Request, theirs: Segmenter) -> Segmenter:
    """The decoder that was asked for, with what belongs to these weights.

    That are the encoder's tensors that it reads, and its rates where none were asked for.

    Raises:
        UsageError: theirs has other layers.
    """
    _check_layers(file, request, theirs)
    ours = request.spec.decoder
    if isinstance(ours, DeepLab) and isinstance(theirs, DeepLab):
        return replace(ours, taps=theirs.taps, rates=ours.rates or theirs.rates)
    return replace(ours, taps=theirs.taps) if isinstance(ours, UNet) else theirs


def _check_layers(file: WeightFile, request: Request, theirs: Decoder) -> None:
    ours, spec = request.spec.decoder, request.spec
    if ours is None:
        raise TypeError(f"{spec.name} has no decoder")
    (kind, found), wanted = _layers(theirs), _layers(ours)
    if (kind, found) != wanted:
        other = wanted[0] != kind
        model = theirs.name_on(spec.backbone.name)
        if isinstance(theirs, EfficientDet):
            same = [row.name for row in PUBLISHED.values() if _layers(row.decoder) == (kind, found)]
            other, model = other or bool(same), " or ".join(same) or model
        raise UsageError(
            f"the weights in {file.path} are of another decoder",
            cause=f"they are of {kind} with {found}, and {spec.name} is {wanted[0]} "
            f"with {wanted[1]}",
            hint=f"the model {model}"
            if other
            else request.advice.decoder.format(found.partition(" ")[0]),
        )


def _layers(decoder: Decoder) -> tuple[str, str]:
    """The kind of a decoder, and its channels in words."""
    kind = kind_of(decoder)
    if isinstance(decoder, DeepLab):
        return kind, f"{decoder.channels} channels, and {decoder.skip} of the finer map"
    if isinstance(decoder, EfficientDet):
        sizes = f"{decoder.channels},{decoder.cells},{decoder.repeats}"
        levels, places = len(decoder.anchors.levels), decoder.anchors.per_place
        return kind, f"{sizes} channels, cells and repeats, and {places} anchors at {levels} levels"
    return kind, f"{','.join(map(str, decoder.channels))} channels"
