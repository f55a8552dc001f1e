"""Random crops, drawn before the photo is decoded, so that a JPEG may be decoded smaller."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

Size = tuple[int, int]
"""Width and height, in pixels."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels; right and bottom are the first ones outside."""

Range = tuple[float, float]
"""The least and the most of something."""

_ATTEMPTS = 10  # as in torchvision's RandomResizedCrop and timm's RandomErasing
SHRINKS = (1, 2, 4, 8)  # what JPEG decoders scale by


class RandomCrop:
    """One crop of one photo, drawn as soon as the full size of the photo is known.

    That is when a loader calls `shrink`, or else in `resize`: a loader that cannot decode a photo
    smaller need not call. The draws are the same either way.

    Args:
        resolution: height and width of the result, in pixels.
        area: area of a crop over that of the photo.
        ratio: width over height of a crop.
        rng: where the crop is drawn from, once.
    """

    def __init__(
        self, resolution: int, area: Range, ratio: Range, rng: np.random.Generator
    ) -> None:
        self.resolution = resolution
        self._area, self._ratio, self._rng = area, ratio, rng
        self._drawn: tuple[Size, Box] | None = None

    def shrink(self, size: Size) -> int:
        """Says how many times smaller the photo may be decoded; an `edgekit.data.images.Shrink`.

        Args:
            size: width and height of the photo as stored, upright.

        Returns:
            8, 4, 2 or 1: the crop, so much smaller, still has at least the resolution in both
            directions.
        """
        _, (left, top, right, bottom) = self._draw(size)
        side = min(right - left, bottom - top)
        return max(n for n in SHRINKS if n == 1 or side >= n * self.resolution)

    def resize(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        """Cuts the crop out of the photo and resizes it, in one step.

        Args:
            image: the photo, of the size that `shrink` was told, or decoded smaller.
            resampling: the filter.

        Returns:
            A new image, resolution by resolution.
        """
        (width, height), (left, top, right, bottom) = self._draw(image.size)
        across, down = pitch(width, image.width), pitch(height, image.height)
        box = (left / across, top / down, right / across, bottom / down)
        return image.resize((self.resolution, self.resolution), resampling, box=box)

    def _draw(self, size: Size) -> tuple[Size, Box]:
        """The full size and the crop; the first size told is the full one."""
        if self._drawn is None:
            self._drawn = size, random_crop_box(size, self._area, self._ratio, self._rng)
        return self._drawn


def pitch(full: int, loaded: int) -> float:
    """How many stored pixels a loaded one is wide.

    A JPEG decoder that scales by n makes each pixel of n stored ones and pads the last: the ratio
    of the sizes alone would move a crop by up to a pixel.
    """
    return next((n for n in SHRINKS if loaded == math.ceil(full / n)), full / loaded)


def random_crop_box(size: Size, area: Range, ratio: Range, rng: np.random.Generator) -> Box:
    """Draws the crop of Inception training (Szegedy et al. 2014, section 6).

    Args:
        size: width and height of the photo.
        area: area of a crop over that of the photo.
        ratio: width over height of a crop.
        rng: drawn from.

    Returns:
        A `random_box`; where none fits, the largest one in the centre whose ratio is allowed.
    """
    box = random_box(size, area, ratio, rng)
    if box is not None:
        return box
    width, height = size
    w = max(1, min(width, round(height * ratio[1])))
    h = max(1, min(height, round(width / ratio[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def random_box(size: Size, area: Range, ratio: Range, rng: np.random.Generator) -> Box | None:
    """Draws a rectangle: area uniform, aspect ratio log-uniform, place uniform.

    Args:
        size: width and height of what it lies in.
        area: its area over that of the whole.
        ratio: its width over its height.
        rng: drawn from.

    Returns:
        The rectangle, or None after ten that do not fit.
    """
    width, height = size
    for _ in range(_ATTEMPTS):
        pixels = rng.uniform(*area) * width * height
        w_over_h = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(pixels * w_over_h)), round(math.sqrt(pixels / w_over_h))
        if 0 < w <= width and 0 < h <= height:
            left = int(rng.random() * (width - w + 1))
            top = int(rng.random() * (height - h + 1))
            return left, top, left + w, top + h
    return None
