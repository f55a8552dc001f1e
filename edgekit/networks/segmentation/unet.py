"""The decoder of U-Net, as segmentation_models_pytorch 0.6.0 builds it (``decoders/unet``).

Each block doubles a map by the nearest pixel, concatenates the encoder's map of that size and
convolves twice. The fifth, at the input's size, has no map of the encoder; a decoder of fewer
blocks ends with smaller logits, which are resized.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.nodes import Concat
from edgekit.networks.segmentation.decoders import UNet
from edgekit.networks.segmentation.layers import add_conv, add_logits, add_resize


def add_unet(builder: GraphBuilder, decoder: UNet, taps: Sequence[str], classes: int) -> str:
    """Writes the decoder and the logits.

    Args:
        builder: with the encoder.
        decoder: its channels.
        taps: the encoder's maps at strides 2 to 32.
        classes: number of logits per pixel.

    Returns:
        The tensor of logits, [side, side, classes].
    """
    *skips, x = taps
    for number, filters in enumerate(decoder.channels, 1):
        name = f"decoder{number}"
        skip = skips.pop() if skips else None
        size = builder.size(skip or "input")
        x = add_resize(builder, f"{name}_resize", x, size, "nearest")
        if skip is not None:
            x = builder.add(Concat(name=f"{name}_concat", inputs=(x, skip)))
        x = add_conv(builder, f"{name}_conv1", x, filters, 3)
        x = add_conv(builder, f"{name}_conv2", x, filters, 3)
    return add_logits(builder, x, classes, 3)
