"""The heads of EfficientDet: for each anchor a box, and a logit of each class.

All levels share their convolutions; each has batch normalizations of its own. Source:
google/automl 6a54c87, ``efficientdet/tf2/efficientdet_keras.py`` (``ClassNet``, ``BoxNet``).
"""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.networks.builder import GraphBuilder
from edgekit.networks.detection.detectors import EPSILON, EfficientDet
from edgekit.networks.nodes import Concat, Conv2D, DepthwiseConv2D, Rows

#: A network's outputs: what moves and stretches each anchor, and the logits of its classes.
BOXES, LOGITS = "boxes", "logits"
#: How names of the heads' nodes begin.
BOX, CLASS = "box", "class"
#: Of a box: the centre's offset in heights and widths of the anchor, and the logarithms of the
#: ratios of height and width: ty, tx, th, tw.
SIDES = 4


def is_head(name: str) -> bool:
    """Whether a node of a detector belongs to a head, by its name."""
    return name.startswith((f"{BOX}_", f"{CLASS}_")) or name in (BOXES, LOGITS)


def add_heads(
    builder: GraphBuilder,
    decoder: EfficientDet,
    maps: Mapping[int, str],
    classes: int,
    activation: str,
) -> None:
    """Writes both heads.

    They end with the network's two outputs, `BOXES` [anchors, 4] and `LOGITS` [anchors, classes],
    by level, row, column, octave and ratio.

    Args:
        builder: with the pyramid.
        decoder: the channels, repeats and anchors.
        maps: of the pyramid, by level.
        classes: logits of an anchor.
        activation: behind every convolution but the last.
    """
    for head, output, columns in ((BOX, BOXES, SIDES), (CLASS, LOGITS, classes)):
        rows = []
        for level, x in maps.items():
            x = _add_head(builder, decoder, head, level, x, columns, activation)
            rows.append(builder.add(Rows(name=f"{x}_rows", inputs=(x,), columns=columns)))
        builder.add(Concat(name=output, inputs=tuple(rows)))


def predictor(head: str, level: int) -> str:
    """The name of the convolution whose map a head has at a level."""
    return f"{head}_p{level}"


def _add_head(
    builder: GraphBuilder,
    decoder: EfficientDet,
    head: str,
    level: int,
    x: str,
    columns: int,
    activation: str,
) -> str:
    """One head at one level."""
    own, first = (predictor(head, number) for number in (level, decoder.anchors.levels[0]))

    def weights_of(suffix: str) -> str:
        return "" if own == first else f"{first}{suffix}"

    def depthwise(suffix: str, x: str) -> str:
        suffix += "_depthwise"
        return builder.add(
            DepthwiseConv2D(
                name=f"{own}{suffix}",
                inputs=(x,),
                kernel=3,
                use_bias=False,
                weights_of=weights_of(suffix),
            )
        )

    for repeat in range(1, decoder.repeats + 1):
        x = depthwise(f"_conv{repeat}", x)
        x = builder.add(
            Conv2D(
                name=f"{own}_conv{repeat}_pointwise",
                inputs=(x,),
                filters=decoder.channels,
                activation=activation,
                batch_norm=EPSILON,
                biased_norm=decoder.biased,
                weights_of=weights_of(f"_conv{repeat}_pointwise"),
            )
        )
    x = depthwise("", x)
    filters = decoder.anchors.per_place * columns
    return builder.add(Conv2D(name=own, inputs=(x,), filters=filters, weights_of=weights_of("")))
