"""The pyramid of EfficientDet: maps of all levels go through cells, down and up again.

Sources: Tan et al. 2020 (arXiv 1911.09070, section 3) and google/automl 6a54c87,
``efficientdet/tf2/{fpn_configs,efficientdet_keras}.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.errors import UsageError
from edgekit.networks.builder import GraphBuilder
from edgekit.networks.detection.detectors import BACKBONE_LEVELS, EPSILON, EfficientDet
from edgekit.networks.nodes import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Resize,
    WeightedSum,
)


def is_pyramid(name: str) -> bool:
    """Whether a node of a detector belongs to the pyramid, by its name."""
    return name.startswith(("bifpn", "p6", "p7", "p8"))


def add_pyramid(
    builder: GraphBuilder, decoder: EfficientDet, taps: Sequence[str], activation: str
) -> dict[int, str]:
    """Writes the coarser levels and the cells behind the backbone's maps.

    Args:
        builder: with the backbone.
        decoder: the channels, cells, fusion and levels.
        taps: the backbone's maps of `BACKBONE_LEVELS`.
        activation: of the sums.

    Returns:
        The map of each level, [height, width, channels].

    Raises:
        UsageError: a map shrinks in one direction only.
    """
    writer = _Writer(builder, decoder, activation)
    maps = dict(zip(BACKBONE_LEVELS, taps, strict=True))
    for level in decoder.anchors.levels[len(BACKBONE_LEVELS) :]:
        x = writer.lateral(f"p{level}_conv", maps[level - 1])
        maps[level] = writer.pooled(f"p{level}", x, writer.half(x))
    for cell in range(1, decoder.cells + 1):
        maps = writer.cell(f"bifpn{cell}", maps)
    return maps


class _Writer:
    """Writes cells of one pyramid."""

    def __init__(self, builder: GraphBuilder, decoder: EfficientDet, activation: str) -> None:
        self.builder = builder
        self.decoder = decoder
        self.activation = activation

    def cell(self, name: str, maps: Mapping[int, str]) -> dict[int, str]:
        """From the coarsest level to the finest and back; every level's last node is its map.

        On the way down a node joins its level's map with the coarser node's; on the way up the
        level's map, its node of the way down and the finer node's.
        """
        finest, *inner, coarsest = maps
        nodes = {coarsest: maps[coarsest]}
        for level in reversed((finest, *inner)):
            end = "" if level == finest else "_down"
            way = (maps[level], nodes[level + 1])
            nodes[level] = self.node(f"{name}_p{level}{end}", maps[level], way)
        found = {finest: nodes[finest]}
        for level in (*inner, coarsest):
            ways = (maps[level], nodes[level])[: 1 if level == coarsest else 2]
            sources = (*ways, found[level - 1])
            found[level] = self.node(f"{name}_p{level}", maps[level], sources)
        return found

    def node(self, name: str, own: str, sources: Sequence[str]) -> str:
        """Joins maps at the size of ``own``, and convolves."""
        size = self.builder.size(own)
        x = self.fused(name, [self.resampled(name, x, size) for x in sources])
        return self.separable(name, x)

    def resampled(self, name: str, x: str, size: tuple[int, int]) -> str:
        """A map with the pyramid's channels, and then of the size; itself where it is both."""
        x = self.lateral(f"{name}_lateral", x)
        if self.builder.size(x) == size:
            return x
        if any(a > b for a, b in zip(self.builder.size(x), size, strict=True)):
            return self.pooled(f"{name}_pool", x, size)
        return self.builder.add(Resize(name=f"{name}_resize", inputs=(x,), size=size))

    def lateral(self, name: str, x: str) -> str:
        """A 1x1 convolution to the pyramid's channels; none where the map has as many."""
        filters = self.decoder.channels
        if self.builder.shapes[x][-1] == filters:
            return x
        return self._pointwise(name, x, filters)

    def half(self, x: str) -> tuple[int, int]:
        """The size of the next coarser level."""
        height, width = self.builder.size(x)
        return (height - 1) // 2 + 1, (width - 1) // 2 + 1

    def pooled(self, name: str, x: str, size: tuple[int, int]) -> str:
        """The largest value of windows that overlap by one; the map itself where it has the size.

        Raises:
            UsageError: the map would have to shrink in one direction only.
        """
        strides = {(a - 1) // b + 1 for a, b in zip(self.builder.size(x), size, strict=True)}
        if strides == {1}:
            return x
        if len(strides) > 1:
            rows, columns = self.builder.size("input")
            raise UsageError(
                f"an input of {rows} x {columns} pixels is too narrow for this detector",
                cause="a map of {} x {} pixels would shrink in one direction only".format(
                    *self.builder.size(x)
                ),
                hint="sides that are more alike, or larger ones",
            )
        (stride,) = strides
        return self.builder.add(
            MaxPool2D(
                name=name,
                inputs=(x,),
                kernel=stride + 1,
                stride=stride,
                padding=self.decoder.padding,
            )
        )

    def fused(self, name: str, sources: Sequence[str]) -> str:
        """The sum of maps, weighted or not, with the activation."""
        if self.decoder.fusion == "fast":
            return self.builder.add(
                WeightedSum(name=f"{name}_sum", inputs=tuple(sources), activation=self.activation)
            )
        first, *others = sources
        for number, other in enumerate(others, 1):
            last = number == len(others)
            first = self.builder.add(
                Add(
                    name=f"{name}_sum" if last else f"{name}_sum{number}",
                    inputs=(first, other),
                    activation=self.activation if last else "linear",
                )
            )
        return first

    def separable(self, name: str, x: str) -> str:
        """A depthwise 3x3 and a 1x1 convolution; a normalization, and no activation."""
        x = self.builder.add(
            DepthwiseConv2D(name=f"{name}_depthwise", inputs=(x,), kernel=3, use_bias=False)
        )
        return self._pointwise(f"{name}_pointwise", x, self.decoder.channels)

    def _pointwise(self, name: str, x: str, filters: int) -> str:
        return self.builder.add(
            Conv2D(
                name=name,
                inputs=(x,),
                filters=filters,
                batch_norm=EPSILON,
                biased_norm=self.decoder.biased,
            )
        )
