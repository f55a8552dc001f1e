"""Random erasing (Zhong et al. 2017): a rectangle of the photo becomes noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgekit.data.augmentation.crop import random_box
from edgekit.data.placement import IGNORED

# The defaults of timm's random_erasing.py; Zhong et al. have areas up to 0.4.
_AREA = (0.02, 1 / 3)
_RATIO = (0.3, 1 / 0.3)


def erase(
    pixels: npt.NDArray[np.uint8],
    probability: float,
    rng: np.random.Generator,
    mask: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """Overwrites a random rectangle with noise, perhaps.

    Each value of the rectangle is uniform in 0 to 255, the paper's RE-R. timm's 'pixel' mode
    draws it from a normal distribution instead, after the normalization. The aspect ratio is
    log-uniform as there, so that tall and wide are equally likely (the paper's is uniform).

    Args:
        pixels: uint8 [height, width, channels]; changed in place.
        probability: of erasing at all. Where ten rectangles do not fit, nothing is erased either.
        rng: drawn from; not at all if the probability is 0.
        mask: the class of each pixel, uint8 [height, width], if it has one; changed in place. Noise
            is of no class.

    Returns:
        The same array.
    """
    if probability == 0 or rng.random() >= probability:
        return pixels
    height, width, channels = pixels.shape
    box = random_box((width, height), _AREA, _RATIO, rng)
    if box is not None:
        left, top, right, bottom = box
        noise = rng.integers(0, 256, (bottom - top, right - left, channels), np.uint8)
        pixels[top:bottom, left:right] = noise
        if mask is not None:
            mask[top:bottom, left:right] = IGNORED
    return pixels
