"""The decoders of segmentation as data: what turns a backbone's maps into a class per pixel.

Sources: U-Net (Ronneberger et al. 2015, arXiv 1505.04597) and DeepLabV3+ (Chen et al. 2018,
arXiv 1802.02611), both as segmentation_models_pytorch 0.6.0 builds them. The default channels are
smaller than its (256, 128, 64, 32, 16) and 256, whose U-Net decoder costs 5.5 times its encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

OUTPUT_STRIDES = (8, 16)
#: The first of the three rates at output stride 16 (tensorflow/models, deeplab).
ATROUS_RATE = 6
#: Blocks of a U-Net.
BLOCKS = (2, 5)


@dataclass(frozen=True)
class UNet:
    """Maps are doubled in size and joined with those of the encoder, five times.

    Attributes:
        channels: of the five blocks, the coarsest first.
        taps: which of an encoder's tensors are read, and how they are padded: one of
            `edgekit.networks.segmentation.taps.TAPS`.
    """

    task: ClassVar[str] = "segmentation"
    #: How a photo becomes square.
    fit: ClassVar[str] = "pad"
    #: PASCAL VOC's, with its background.
    usual_classes: ClassVar[int] = 21

    channels: tuple[int, ...] = (64, 48, 32, 24, 16)
    taps: str = "tu"

    def side_near(self, side: int) -> int:
        """The side of an input that suits it best, in pixels: any does."""
        return side

    def name_on(self, backbone: str) -> str:
        """The name of a network that has it on a backbone."""
        return f"unet-{backbone}"

    @staticmethod
    def backbone_in(name: str) -> str:
        """The name of the backbone of a network of that name."""
        return name.partition("-")[2]


@dataclass(frozen=True)
class DeepLab:
    """Atrous convolutions at several rates over the last map, joined with one finer map.

    Attributes:
        channels: of the atrous branches and of the decoder.
        output_stride: input pixels per pixel of the last map, 8 or 16: the strides behind are
            replaced by dilation.
        rates: dilations of the three atrous branches; None for 6, 12, 18 at output stride 16 and
            twice that at 8 (tensorflow/models, deeplab).
        skip: channels of the finer map.
        taps: as `UNet.taps`.
    """

    task: ClassVar[str] = "segmentation"
    #: How a photo becomes square.
    fit: ClassVar[str] = "pad"
    #: PASCAL VOC's, with its background.
    usual_classes: ClassVar[int] = 21

    channels: int = 128
    output_stride: int = 16
    rates: tuple[int, int, int] | None = None
    skip: int = 48
    taps: str = "tu"

    def side_near(self, side: int) -> int:
        """The side of an input that suits it best, in pixels: the next 16 n + 1.

        Then maps of strides 16, 4 and 1 have their corners on each other at whole ratios (DeepLab's
        own sides are 257, 321 and 513), which all int8 kernels resize alike: at 224, LiteRT's two
        differ by up to 37 steps (docs/segmentation.md).
        """
        return 16 * round(side / 16) + 1

    def name_on(self, backbone: str) -> str:
        """The name of a network that has it on a backbone."""
        return f"deeplab-{backbone}"

    @staticmethod
    def backbone_in(name: str) -> str:
        """The name of the backbone of a network of that name."""
        return name.partition("-")[2]

    @property
    def atrous_rates(self) -> tuple[int, int, int]:
        """The dilations of the three atrous branches."""
        first = ATROUS_RATE * 16 // self.output_stride
        return self.rates or (first, 2 * first, 3 * first)


Segmenter: TypeAlias = UNet | DeepLab
