"""The decoder that a file of weights holds, beside the one that was asked for."""

from __future__ import annotations

from dataclasses import replace

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import Request
from edgekit.errors import UsageError
from edgekit.networks.segmentation.decoders import DECODERS, Decoder, DeepLab


def check_decoder(file: WeightFile, request: Request, theirs: Decoder) -> Decoder:
    """The decoder that was asked for, with what belongs to these weights.

    That are the encoder's tensors that it reads, and its rates where none were asked for.

    Raises:
        UsageError: theirs has other layers.
    """
    ours, spec = request.spec.decoder, request.spec
    if ours is None:
        raise TypeError(f"{spec.name} has no decoder")
    (kind, found), wanted = _layers(theirs), _layers(ours)
    if (kind, found) != wanted:
        other = wanted[0] != kind
        raise UsageError(
            f"the weights in {file.path} are of another decoder",
            cause=f"they are of {kind} with {found} channels, and {spec.name} is {wanted[0]} with "
            f"{wanted[1]}",
            hint=f"the model {kind}-{spec.backbone.name}"
            if other
            else request.advice.decoder.format(found.partition(" ")[0]),
        )
    if isinstance(ours, DeepLab) and isinstance(theirs, DeepLab):
        return replace(ours, taps=theirs.taps, rates=ours.rates or theirs.rates)
    return replace(ours, taps=theirs.taps)


def _layers(decoder: Decoder) -> tuple[str, str]:
    """The kind of a decoder, and its channels in words."""
    kind = next(name for name, one in DECODERS.items() if type(decoder) is one)
    if isinstance(decoder, DeepLab):
        return kind, f"{decoder.channels} (and {decoder.skip} of the finer map)"
    return kind, ",".join(map(str, decoder.channels))
