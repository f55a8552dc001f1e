"""One training photo and its boxes, from the file to varied pixels and what they show."""

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
from edgekit.data.boxes.boxes import Boxes
from edgekit.data.boxes.targets import MOST, mirrored, to_targets, without_hidden
from edgekit.data.placement import IGNORED
from edgekit.data.preprocessing import RESAMPLING, Preprocessing

if TYPE_CHECKING:
    from edgekit.data.images import Shrink


@dataclass(frozen=True)
class BoxedAugmentation(Augmentation):
    """How training photos are varied with their boxes.

    A crop is not that of classification, a part of any shape that becomes the input, but a window
    of the photo at a random scale (see `RandomWindow`). Of a policy, the operations on colours
    alone are drawn: the others would move things out of their boxes.

    Attributes:
        crop_area: the least area of a crop, over that of the photo as the finished model is given
            it; 1 for none. A photo is scaled by its square root at the least, and by the inverse
            of that at the most. The second number is not used.
        crop_ratio: the least and the most stretching, width over height.
    """

    crop_area: tuple[float, float] = (0.25, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)

    def apply(
        self,
        load: Callable[[Shrink], Image.Image],
        label: Boxes,
        preprocessing: Preprocessing,
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Scales, crops and mirrors a photo and its boxes alike, and varies the photo's colours.

        Args:
            load: decodes the photo; see `edgekit.data.augmentation.augment.augment`.
            label: the boxes, in pixels of the photo's full size.
            preprocessing: gives the resolution, the interpolation and the margin's colour.
            rng: all of chance.

        Returns:
            uint8 [resolution, resolution, 3], RGB, and float32 [MOST, 5], the boxes that are seen,
            as `edgekit.data.boxes.targets.to_targets` gives them: what is cut off or erased but
            for a tenth is left out.
        """
        random = RandomWindow(preprocessing, self.crop_area[0], self.crop_ratio, rng)
        photo = load(random.shrink)
        window = random.of(photo.size)  # drawn already, unless all photos come at their full size
        image = window.part(photo, RESAMPLING[preprocessing.interpolation])
        if self.policy == "rand":
            image = rand_augment(image, self.layers, self.magnitude, rng, COLOR_OPERATIONS)
        elif self.policy == "auto":
            image = auto_augment(image, rng, COLOR_OPERATIONS)
        pixels = window.fill(image, preprocessing.margin)
        targets = to_targets(label, window)
        if self.flip and rng.random() < 0.5:
            pixels, targets = pixels[:, ::-1].copy(), mirrored(targets)
        if not self.erasing:
            return pixels, targets
        erased = np.zeros(pixels.shape[:2], np.uint8)
        pixels = erase(pixels, self.erasing, rng, erased)
        return pixels, without_hidden(targets, erased == IGNORED)

    def no_labels(self, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
        """Returns the labels of no photo, float32 [0, MOST, 5]."""
        return np.empty((0, MOST, 5), np.float32)
