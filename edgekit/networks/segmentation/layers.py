"""What both decoders are made of."""

from __future__ import annotations

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.nodes import Conv2D, DepthwiseConv2D, Resize

#: torch's own, which smp's decoders have whatever the encoder's is.
EPSILON = 1e-5
#: The convolution that gives a value per class, and the resize of its map to the input's size.
LOGITS, LOGITS_RESIZE = "logits", "logits_resize"


def add_conv(builder: GraphBuilder, name: str, x: str, filters: int, kernel: int = 1) -> str:
    """A convolution, a batch normalization and a ReLU."""
    return builder.add(
        Conv2D(
            name=name,
            inputs=(x,),
            filters=filters,
            kernel=kernel,
            activation="relu",
            batch_norm=EPSILON,
        )
    )


def add_separable(builder: GraphBuilder, name: str, x: str, filters: int, dilation: int = 1) -> str:
    """A depthwise 3x3 convolution with nothing behind it, and a 1x1 one with all of `add_conv`."""
    x = builder.add(
        DepthwiseConv2D(
            name=f"{name}_depthwise", inputs=(x,), kernel=3, dilation=dilation, use_bias=False
        )
    )
    return add_conv(builder, f"{name}_pointwise", x, filters)


def add_resize(builder: GraphBuilder, name: str, x: str, size: tuple[int, int], method: str) -> str:
    """A resize; none where the map has that size."""
    if builder.size(x) == size:
        return x
    return builder.add(Resize(name=name, inputs=(x,), size=size, method=method))


def add_logits(builder: GraphBuilder, x: str, classes: int, kernel: int) -> str:
    """The last convolution, and the resize to the input's size where that is larger."""
    x = builder.add(Conv2D(name=LOGITS, inputs=(x,), filters=classes, kernel=kernel))
    return add_resize(builder, LOGITS_RESIZE, x, builder.size("input"), "bilinear-corners")
