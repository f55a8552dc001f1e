"""What may be asked for of a decoder, for a build and for reading weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.segmentation.decoders import (
    BLOCKS,
    OUTPUT_STRIDES,
    DeepLab,
    UNet,
)

#: No decoder is wider; a slip of the keyboard is likelier.
MOST_CHANNELS = 2048
#: Rates reach over the map of any input.
MOST_RATE = 256
RATES = 3
#: Of EfficientDet: channels, cells and repeats, or the first of them.
SIZES = (1, 3)


def with_decoder_options(
    spec: ModelSpec,
    *,
    decoder: str | None = None,
    output_stride: int | None = None,
    aspp_rates: str | None = None,
) -> ModelSpec:
    """A variant with its decoder as asked for.

    Args:
        spec: the variant.
        decoder: channels: of a U-Net two to five with commas between, of DeepLab one number,
            of EfficientDet one to three: channels, cells of the pyramid and repeats of the heads.
        output_stride: of DeepLab, 8 or 16.
        aspp_rates: of DeepLab, three with commas between.

    Raises:
        UsageError: its decoder has no such option, or a value cannot be used.
    """
    given = {"decoder": decoder, "output-stride": output_stride, "aspp-rates": aspp_rates}
    if isinstance(spec.decoder, UNet):
        _refuse(spec, {name: given[name] for name in ("output-stride", "aspp-rates")})
        if decoder is None:
            return spec
        channels = _numbers("--decoder", decoder, BLOCKS, MOST_CHANNELS)
        return replace(spec, decoder=replace(spec.decoder, channels=channels))
    if isinstance(spec.decoder, DeepLab):
        found = spec.decoder
        if decoder is not None:
            (width,) = _numbers("--decoder", decoder, (1, 1), MOST_CHANNELS)
            found = replace(found, channels=width)
        if output_stride is not None:
            if output_stride not in OUTPUT_STRIDES:
                raise UsageError(
                    f"--output-stride must be 8 or 16, not {output_stride}",
                    cause="the encoder's other strides have no decoder",
                    hint="--output-stride 16, or 8 for finer maps at about three times the cost",
                )
            found = replace(found, output_stride=output_stride)
        if aspp_rates is not None:
            first, second, third = _numbers("--aspp-rates", aspp_rates, (RATES, RATES), MOST_RATE)
            found = replace(found, rates=(first, second, third))
        return replace(spec, decoder=found)
    if isinstance(spec.decoder, EfficientDet):
        _refuse(spec, {name: given[name] for name in ("output-stride", "aspp-rates")})
        if decoder is None:
            return spec
        own = (spec.decoder.channels, spec.decoder.cells, spec.decoder.repeats)
        sizes = _numbers("--decoder", decoder, SIZES, MOST_CHANNELS)
        width, cells, repeats = (*sizes, *own[len(sizes) :])
        changed = replace(spec.decoder, channels=width, cells=cells, repeats=repeats)
        return replace(spec, decoder=changed)
    _refuse(spec, given)
    return spec


def _refuse(spec: ModelSpec, given: Mapping[str, object]) -> None:
    name = next((name for name, value in given.items() if value is not None), None)
    if name is None:
        return
    if spec.decoder is None:
        cause, model = f"{spec.name} classifies: it has no decoder", f"unet-{spec.name}"
    else:
        is_unet = isinstance(spec.decoder, UNet)
        cause = f"{spec.name} is {'a U-Net' if is_unet else 'an EfficientDet'}"
        model = f"deeplab-{spec.backbone.name}"
    if name != "decoder":
        model = f"deeplab-{spec.backbone.name}"
    raise UsageError(
        f"--{name} does not go with {spec.name}", cause=cause, hint=f"the model {model}"
    )


def _numbers(option: str, text: str, counts: tuple[int, int], most: int) -> tuple[int, ...]:
    """Whole numbers with commas between."""
    least, largest = counts
    words = [word.strip() for word in text.split(",")]
    wanted = f"{least} to {largest} numbers" if least < largest else f"{least} number(s)"
    if not all(re.fullmatch(r"\d{1,9}", word) for word in words):
        cause = f"'{text}' is not whole numbers with commas between"
    elif not least <= len(words) <= largest:
        cause = f"it has {len(words)}, and this decoder takes {wanted}"
    elif not all(1 <= int(word) <= most for word in words):
        cause = f"each must be from 1 to {most}"
    else:
        return tuple(map(int, words))
    hint = f"{option} {EXAMPLES[counts]}"
    raise UsageError(f"{option} {text} cannot be used", cause=cause, hint=hint)


#: By how many numbers an option takes.
EXAMPLES = {
    BLOCKS: "64,48,32,24,16",
    (1, 1): "128",
    (RATES, RATES): "6,12,18",
    SIZES: "64,3,3",
}
