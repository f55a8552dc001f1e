"""One training photo, from the file to varied pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.augmentation.crop import RandomCrop
from edgekit.data.augmentation.erasing import erase
from edgekit.data.augmentation.policy import POLICIES, auto_augment, rand_augment
from edgekit.data.preprocessing import RESAMPLING, Preprocessing

if TYPE_CHECKING:
    from edgekit.data.images import Shrink


@dataclass(frozen=True)
class Augmentation:
    """How training photos are varied.

    Attributes:
        crop_area: the least and the most area of a crop, over that of the photo.
        crop_ratio: the least and the most width over height of a crop.
        flip: whether every second photo is mirrored.
        policy: 'none', 'rand' (RandAugment) or 'auto' (AutoAugment v0).
        layers: operations a photo; RandAugment's N.
        magnitude: strength of the operations, 0 to 30; RandAugment's M.
        erasing: probability of random erasing.

    Raises:
        ValueError: there is no such policy.
    """

    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    policy: str = "none"
    layers: int = 2
    magnitude: float = 9.0
    erasing: float = 0.0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"policy {self.policy!r} is not one of {', '.join(POLICIES)}")

    def apply(
        self,
        load: Callable[[Shrink], Image.Image],
        label: Any,
        preprocessing: Preprocessing,
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[np.uint8], Any]:
        """Varies an image and its label together; see `augment`.

        Here a label stays as it is. Where it has a place in the image (a mask, boxes), a task has
        an `Augmentation` of its own.
        """
        return augment(load, preprocessing, self, rng), label

    def no_labels(self, preprocessing: Preprocessing) -> npt.NDArray[Any]:
        """Returns the labels of no photo: [0, ...], of the dtype of others."""
        return np.empty(0, np.int64)


def augment(
    load: Callable[[Shrink], Image.Image],
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Cuts a random rectangle out, resizes it to the network's input, mirrors it, and varies it.

    The order is that of the released code (google/automl, efficientnetv2/preprocessing.py,
    preprocess_for_train); random erasing comes last. What is off draws nothing from `rng`.

    Args:
        load: decodes the photo, RGB and upright, smaller than it is stored if it can: it is given
            a function that takes the stored width and height and returns 1, 2, 4 or 8. With 1,
            or if that is never called, the photo comes at full size.
        preprocessing: gives the resolution and the interpolation.
        augmentation: how the photo is varied.
        rng: all of chance.

    Returns:
        uint8 [resolution, resolution, 3], RGB.
    """
    crop = RandomCrop(
        preprocessing.resolution, augmentation.crop_area, augmentation.crop_ratio, rng
    )
    image = crop.resize(load(crop.shrink), RESAMPLING[preprocessing.interpolation])
    if augmentation.flip and rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if augmentation.policy == "rand":
        image = rand_augment(image, augmentation.layers, augmentation.magnitude, rng)
    elif augmentation.policy == "auto":
        image = auto_augment(image, rng)
    return erase(np.array(image), augmentation.erasing, rng)
