"""Which network a build makes, and from which photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.efficientnet.scaling import ALPHA, BETA, GAMMA, scale_spec
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.options.decoder import with_decoder_options
from edgekit.options.fields import PHOTOS, option
from edgekit.training.recipe import refuse

HEADS = ("classifier", "none")
#: How a photo that is not square becomes a square input (`edgekit.data.placement`).
FITS = ("crop", "pad", "stretch")


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class ModelOptions:
    """The variant, scaled."""

    model: str = field(
        metadata={
            "help": "The variant: b0, lite0, v2-b0, es, …; unet-lite0, deeplab-b0, …; d0, "
            "det-lite0, …",
            "argument": True,
        }
    )
    phi: float | None = option(
        None, "Compound scaling: depth by alpha^phi, width by beta^phi, resolution by gamma^phi."
    )
    width: float | None = option(
        None, "Multiplier of the channel counts, on top of the variant's own."
    )
    depth: float | None = option(None, "Multiplier of the block counts, likewise.")
    alpha: float = option(ALPHA, "Base of the depth for --phi.")
    beta: float = option(BETA, "Base of the width for --phi.")
    gamma: float = option(GAMMA, "Base of the resolution for --phi.")
    decoder: str | None = option(
        None,
        "Channels of the decoder: of a U-Net, two to five numbers, such as 64,48,32,24,16; of "
        "DeepLab one; of EfficientDet with its cells and repeats. "
        "[64,48,32,24,16; 128; 64,3,3 of d0]",
        "NUMBERS",
    )
    output_stride: int | None = option(
        None, "Of DeepLab: input pixels per pixel of the encoder's last map, 8 or 16. [16]"
    )
    aspp_rates: str | None = option(
        None, "Of DeepLab: three dilations. [6,12,18; twice that at stride 8]", "NUMBERS"
    )
    head: str = option(
        "classifier",
        "What the files end with: the classifier, or none: they give the embedding.",
        known=HEADS,
    )

    @cached_property
    def spec(self) -> ModelSpec:
        """The variant, scaled as asked.

        Raises:
            UsageError: no such variant, or it cannot be scaled like that.
        """
        spec = with_decoder_options(
            find_spec(self.model),
            decoder=self.decoder,
            output_stride=self.output_stride,
            aspp_rates=self.aspp_rates,
        )
        return scale_spec(
            spec,
            phi=self.phi,
            width=self.width,
            depth=self.depth,
            alpha=self.alpha,
            beta=self.beta,
            gamma=self.gamma,
        )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class DataOptions:
    """The photos, and their size for the network."""

    data: str | None = option(
        None,
        "Photos: a folder of class folders, a list of paths, or WebDataset shards: "
        "train-{000..146}.tar, pipe:COMMAND. [built-in shapes]",
        PHOTOS,
        everyday=True,
    )
    photos: str | None = option(
        None, "The folder of the photos, where --data is a file of their annotations.", "FOLDER"
    )
    val: str | None = option(
        None,
        "Validation photos, likewise. [a fifth of --data, split by name]",
        PHOTOS,
        everyday=True,
    )
    calibration: str | None = option(
        None, "Calibration photos, likewise. [from the training photos]", PHOTOS
    )
    calibration_count: int = option(256, "How many training photos calibrate.", least=10)
    resolution: int | None = option(
        None,
        "Side of the input in pixels. [the variant's; 64 for the built-in shapes]",
        everyday=True,
    )
    fit: str | None = option(
        None,
        f"How a photo becomes square: {', '.join(FITS)}. [crop; pad for segmentation, stretch for "
        "detection]",
        known=FITS,
    )
    crop: float | None = option(
        None,
        "Share of the shorter side that the centre crop keeps. [the weights'; 1 for shapes, masks "
        "and boxes]",
    )

    def check(self) -> None:
        """Raises UsageError where a value cannot be used."""
        size = self.resolution
        refuse(
            {
                "--resolution must be from 32 to 2048": size is None or 32 <= size <= 2048,
                "--crop must be above 0, up to 1": self.crop is None or 0 < self.crop <= 1,
            }
        )
