"""One training photo and its mask, from the files to varied pixels and their classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.augmentation.augment import Augmentation
from edgekit.data.augmentation.erasing import erase
from edgekit.data.augmentation.operations import COLOR_OPERATIONS
from edgekit.data.augmentation.policy import auto_augment, rand_augment
from edgekit.data.augmentation.window import RandomWindow
from edgekit.data.placement import IGNORED
from edgekit.data.preprocessing import RESAMPLING, Preprocessing

if TYPE_CHECKING:
    from edgekit.data.images import Shrink


@dataclass(frozen=True)
class MaskedAugmentation(Augmentation):
    """How training photos are varied with their masks.

    A crop is not that of classification, a part of any shape that becomes the input, but a window
    of the photo at a random scale (see `RandomWindow`). Of a policy, the operations on colours
    alone are drawn: the others would move pixels away from their classes.

    Attributes:
        crop_area: the least area of a crop, over that of the photo as the finished model is given
            it; 1 for none. The second number is not used.
        crop_ratio: the least and the most stretching, width over height.
    """

    crop_area: tuple[float, float] = (0.25, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)

    def apply(
        self,
        load: Callable[[Shrink], Image.Image],
        label: Image.Image,
        preprocessing: Preprocessing,
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Scales, crops and mirrors a photo and its mask alike, and varies the photo's colours.

        Args:
            load: decodes the photo; see `edgekit.data.augmentation.augment.augment`.
            label: the mask, mode L, of the photo's full size.
            preprocessing: gives the resolution, the interpolation and the margin's colour.
            rng: all of chance.

        Returns:
            uint8 [resolution, resolution, 3], RGB, and uint8 [resolution, resolution], the class
            of each pixel, by the nearest pixel of the mask: 255 where the photo ends, where the
            mask has none, and where the photo is erased.
        """
        random = RandomWindow(preprocessing, self.crop_area[0], self.crop_ratio, rng)
        window = random.of(label.size)
        image = window.part(load(random.shrink), RESAMPLING[preprocessing.interpolation])
        if self.policy == "rand":
            image = rand_augment(image, self.layers, self.magnitude, rng, COLOR_OPERATIONS)
        elif self.policy == "auto":
            image = auto_augment(image, rng, COLOR_OPERATIONS)
        pixels = window.fill(image, preprocessing.margin)
        mask = window.fill(window.part(label, Image.Resampling.NEAREST), IGNORED)
        if self.flip and rng.random() < 0.5:
            pixels, mask = pixels[:, ::-1].copy(), mask[:, ::-1].copy()
        return erase(pixels, self.erasing, rng, mask), mask

    def no_labels(self, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        """Returns the masks of no photo, uint8 [0, resolution, resolution]."""
        return np.empty((0, preprocessing.resolution, preprocessing.resolution), np.uint8)
