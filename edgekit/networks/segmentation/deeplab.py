"""The decoder of DeepLabV3+, as segmentation_models_pytorch 0.6.0 builds it.

Source: ``decoders/deeplabv3/decoder.py``. Its dropout of 0.5 behind the pyramid is left out: it
has no weights, and a network for a small device is rather too small than too large.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.nodes import Concat, Mean, Tile
from edgekit.networks.segmentation.decoders import DeepLab
from edgekit.networks.segmentation.layers import (
    add_conv,
    add_logits,
    add_resize,
    add_separable,
)


def add_deeplab(builder: GraphBuilder, decoder: DeepLab, taps: Sequence[str], classes: int) -> str:
    """Writes the pyramid of atrous convolutions, the decoder and the logits.

    Args:
        builder: with the encoder, whose last map has the decoder's output stride.
        decoder: its channels and rates.
        taps: the encoder's maps at strides 2 to 32, as published; the one at 4 and the last are
            read.
        classes: number of logits per pixel.

    Returns:
        The tensor of logits, [side, side, classes].
    """
    fine, last, filters = taps[1], taps[-1], decoder.channels
    branches = [add_conv(builder, "aspp0", last, filters)]
    branches += [
        add_separable(builder, f"aspp{number}", last, filters, rate)
        for number, rate in enumerate(decoder.atrous_rates, 1)
    ]
    pooled = builder.add(Mean(name="aspp_pool", inputs=(last,), keep_dims=True))
    pooled = add_conv(builder, "aspp_pool_conv", pooled, filters)
    # Of one pixel every resize is a copy; compilers for accelerators map this one.
    tile = Tile(name="aspp_pool_tile", inputs=(pooled,), size=builder.size(last))
    branches.append(builder.add(tile))
    x = builder.add(Concat(name="aspp_concat", inputs=tuple(branches)))
    x = add_conv(builder, "aspp_project", x, filters)
    x = add_separable(builder, "decoder1", x, filters)
    x = add_resize(builder, "decoder_resize", x, builder.size(fine), "bilinear-corners")
    skip = add_conv(builder, "decoder_skip", fine, decoder.skip)
    x = builder.add(Concat(name="decoder_concat", inputs=(x, skip)))
    x = add_separable(builder, "decoder2", x, filters)
    return add_logits(builder, x, classes, 1)
