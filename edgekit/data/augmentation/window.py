"""Random scaling of a photo, and the part of it that the network's input then shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.augmentation.crop import SHRINKS, Range, Size, pitch
from edgekit.data.placement import Placement, Rectangle, move_boxes
from edgekit.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class Window:
    """Where the input is over a photo, which it may exceed.

    Attributes:
        size: width and height of the photo.
        side: height and width of the input.
        box: left, top, right and bottom of the shown part of the photo, in its pixels.
        shown: left, top, right and bottom of that part in the input.
    """

    size: Size
    side: int
    box: Rectangle
    shown: tuple[int, int, int, int]

    def part(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        """Cuts the shown part out and resizes it to what it has of the input.

        Args:
            image: the photo or its mask, of the full size or decoded smaller.
            resampling: the filter.
        """
        across, down = (pitch(*lengths) for lengths in zip(self.size, image.size, strict=True))
        left, top, right, bottom = self.box
        # Not outside of the image, where dividing has rounded up.
        box = (
            *(left / across, top / down),
            *(min(right / across, image.width), min(bottom / down, image.height)),
        )
        first_x, first_y, last_x, last_y = self.shown
        return image.resize((last_x - first_x, last_y - first_y), resampling, box=box)

    def fill(self, part: Image.Image, margin: Any) -> npt.NDArray[np.uint8]:
        """Puts a part into the input, with a margin where the photo ends."""
        if part.size == (self.side, self.side):
            return np.array(part)
        canvas = Image.new(part.mode, (self.side, self.side), margin)
        canvas.paste(part, self.shown[:2])
        return np.array(canvas)

    def boxes_in(self, corners: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns where boxes of the photo are in the input; they may exceed it.

        Args:
            corners: [k, 4]: top, left, bottom and right, in pixels of the photo.

        Returns:
            float32 [k, 4], in fractions of the input's sides.
        """
        return move_boxes(corners, self.box, self.shown) / np.float32(self.side)

    def shrink(self) -> int:
        """How many times smaller the photo may be decoded, with as many pixels as are shown."""
        left, top, right, bottom = self.box
        across = (right - left) / (self.shown[2] - self.shown[0])
        down = (bottom - top) / (self.shown[3] - self.shown[1])
        return max(n for n in SHRINKS if n == 1 or min(across, down) >= n)


class RandomWindow:
    """One window of one photo, drawn as soon as the full size of the photo is known.

    The photo is scaled by a factor s around the scale at which the finished model is given it,
    and the input is a random place of the result; where this is smaller, it is at a random place
    of the input. s is uniform between sqrt(area) and 1 / sqrt(area) for the least area of a crop:
    0.5 and 2 for 0.25, the defaults of DeepLab's training (tensorflow/models, research/deeplab:
    min_scale_factor and max_scale_factor in train.py, get_random_scale and
    pad_to_bounding_box in core/preprocess_utils.py). With an area of 1, nothing is scaled.

    Args:
        preprocessing: says how large the finished model is given a photo.
        least_area: of a crop, over that of the photo as the finished model is given it.
        ratio: by how much it is stretched: its width over its height, relative to the photo's.
        rng: where the window is drawn from, once.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        least_area: float,
        ratio: Range,
        rng: np.random.Generator,
    ) -> None:
        self._preprocessing = preprocessing
        self._area, self._ratio, self._rng = least_area, ratio, rng
        self._drawn: Window | None = None

    def shrink(self, size: Size) -> int:
        """Says how many times smaller the photo may be decoded; an `edgekit.data.images.Shrink`."""
        return self.of(size).shrink()

    def of(self, size: Size) -> Window:
        """The window; the first size told is the full one."""
        if self._drawn is None:
            place = self._preprocessing.place(size)
            self._drawn = random_window(place, self._area, self._ratio, self._rng)
        return self._drawn


def random_window(
    place: Placement, least_area: float, ratio: Range, rng: np.random.Generator
) -> Window:
    """Draws a window; see `RandomWindow`.

    Args:
        place: the photo as the finished model is given it.
        least_area: of a crop.
        ratio: by how much it is stretched.
        rng: drawn from.
    """
    scale = rng.uniform(math.sqrt(least_area), 1 / math.sqrt(least_area))
    stretch = math.sqrt(math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]))))
    left, right, first_x, last_x = _along(place, 0, scale * stretch, rng.random())
    top, bottom, first_y, last_y = _along(place, 1, scale / stretch, rng.random())
    box, shown = (left, top, right, bottom), (first_x, first_y, last_x, last_y)
    return Window(place.size, place.side, box, shown)


def _along(
    place: Placement, axis: int, scale: float, chance: float
) -> tuple[float, float, int, int]:
    """The shown part of a photo in one direction, and its place in the input."""
    length, side = place.size[axis], place.side
    source = place.source[axis + 2] - place.source[axis]
    step = source / (place.shown[axis + 2] - place.shown[axis]) / scale  # a pixel of the input
    pixels = max(1, round(length / step))
    if pixels < side:
        first = int(chance * (side - pixels + 1))
        return 0.0, float(length), first, first + pixels
    begin = chance * max(0.0, length - side * step)
    return begin, min(float(length), begin + side * step), 0, side
