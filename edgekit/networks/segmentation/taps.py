"""Which of an encoder's tensors a decoder reads, as the encoders of other libraries do it.

Source: segmentation_models_pytorch 0.6.0 (MIT) has three encoders of one family that differ in
arithmetic: ``encoders/timm_universal.py`` (names ``tu-…``), ``timm_efficientnet.py`` (``timm-…``)
and ``efficientnet.py`` (lukemelas' EfficientNet-PyTorch). New networks use the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekit.networks.efficientnet.block_plan import Block

#: Of the five maps at strides 2 to 32.
LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Taps:
    """One encoder's way.

    Attributes:
        stem: whether the map at stride 2 is the stem's, not that of the last block at it.
        early: variants whose map at stride 16 is that of the first block of its last stage, not
            of the last block.
        dilates_first: whether a block whose stride became a dilation is dilated itself, and so
            is everything behind the tap; else it keeps the dilation that came in.
        padding: of its convolutions, as `edgekit.networks.efficientnet.spec.ModelSpec.padding`.
        epsilon: of its batch normalizations.
    """

    stem: bool
    early: tuple[str, ...]
    dilates_first: bool
    padding: str
    epsilon: float

    def tensors(self, blocks: Sequence[Block], variant: str) -> tuple[str, ...]:
        """Names the blocks, or the stem, whose outputs are the maps at strides 2 to 32.

        The stem's is the map at stride 2 where no block is: ResNet's pool behind it halves again.
        """
        found = {1: "stem"} | {block.level: block.name for block in blocks}  # the last of each
        if variant.partition("-")[0] in self.early:  # a scaled one is called b0-w0.5
            found[4] = next(b.name for b in reversed(blocks) if b.level == 4 and b.is_first)
        names = tuple(found[level] for level in LEVELS)
        return ("stem", *names[1:]) if self.stem else names

    def dilate(
        self, blocks: Sequence[Block], variant: str, output_stride: int
    ) -> tuple[Block, ...]:
        """Replaces the strides by dilation from the map on whose stride is ``output_stride``."""
        if self.dilates_first:
            return self._dilate_behind(blocks, variant, output_stride)
        dilated: list[Block] = []
        dilation = 1
        for block in blocks:
            if block.shape.stride == 1 or 2**block.level <= output_stride:
                dilated.append(replace(block, dilation=dilation))
                continue
            # timm, `_efficientnet_builder.py`: a shortcut appears where the channels fit.
            shape = replace(block.shape, stride=1)
            dilated.append(replace(block, shape=shape, dilation=dilation))
            dilation *= 2
        return tuple(dilated)

    def _dilate_behind(
        self, blocks: Sequence[Block], variant: str, output_stride: int
    ) -> tuple[Block, ...]:
        """smp, ``encoders/_utils.py: replace_strides_with_dilation``, which edits what is built."""
        taps = self.tensors(blocks, variant)
        dilated: list[Block] = []
        dilation = 1
        for block in blocks:
            if dilation > 1:
                strided = block.shape.stride > 1
                shape = replace(block.shape, stride=1, skip=block.shape.skip and not strided)
                block = replace(block, shape=shape, dilation=dilation)
            dilated.append(block)
            if block.name in taps[:4] and 2 ** (taps.index(block.name) + 1) >= output_stride:
                dilation *= 2
        return tuple(dilated)


#: By the names that `edgekit.networks.segmentation.decoders` takes.
TAPS: dict[str, Taps] = {
    "tu": Taps(False, (), False, "same", 1e-3),
    "timm": Taps(True, (), True, "symmetric", 1e-5),
    "lukemelas": Taps(True, ("b0",), True, "native", 1e-3),
}
