"""Where a photo is within a network's square input, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

#: How a photo that is not square becomes a square input. ``crop``: the centre square of it.
#: ``pad``: all of it, its longer side as long as the input's, with a margin on both other sides.
#: ``stretch``: all of it, its sides made equal.
FITS = ("crop", "pad", "stretch")
#: What a mask has where its pixel is of no class, and where an input has a margin.
IGNORED = 255

Rectangle: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


@dataclass(frozen=True)
class Placement:
    """A rectangle of a photo and the rectangle of the input that shows it.

    Attributes:
        size: width and height of the photo, in pixels.
        source: left, top, right and bottom of what is shown of it.
        side: height and width of the input.
        shown: left, top, right and bottom in the input.
    """

    size: tuple[int, int]
    source: tuple[int, int, int, int]
    side: int
    shown: tuple[int, int, int, int]

    def image(
        self, photo: Image.Image, resampling: Image.Resampling, margin: tuple[int, int, int]
    ) -> npt.NDArray[np.uint8]:
        """Shows a photo: uint8 [side, side, 3]; ``margin`` is the colour of what it leaves."""
        shown: npt.NDArray[np.uint8] = self._place(photo, resampling, margin)
        return shown

    def mask(self, mask: Image.Image) -> npt.NDArray[np.uint8]:
        """Shows a mask of mode L by the nearest pixel: uint8 [side, side], 255 in the margin."""
        shown: npt.NDArray[np.uint8] = self._place(mask, Image.Resampling.NEAREST, IGNORED)
        return shown

    def _place(self, image: Image.Image, resampling: Image.Resampling, margin: Any) -> Any:
        left, top, right, bottom = self.shown
        part = image.resize((right - left, bottom - top), resampling, box=self.source)
        if part.size == (self.side, self.side):
            return np.array(part)
        canvas = Image.new(image.mode, (self.side, self.side), margin)
        canvas.paste(part, (left, top))
        return np.array(canvas)

    def boxes_in(self, corners: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns where boxes of the photo are in the input; they may exceed it.

        Args:
            corners: [k, 4]: top, left, bottom and right, in pixels of the photo.

        Returns:
            float32 [k, 4], in fractions of the input's sides.
        """
        return move_boxes(corners, self.source, self.shown) / np.float32(self.side)

    def boxes_out(self, boxes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns where boxes of the input are on the photo; they may exceed it.

        Args:
            boxes: [k, 4]: top, left, bottom and right, in fractions of the input's sides.

        Returns:
            float32 [k, 4], in pixels of the photo.
        """
        return move_boxes(boxes * self.side, self.shown, self.source)

    def restore(self, classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Puts an answer for the input back onto the photo.

        Args:
            classes: uint8 [side, side].

        Returns:
            uint8 [height, width] of the photo by the nearest pixel, 255 where it is not shown.
        """
        width, height = self.size
        left, top, right, bottom = self.source
        part = Image.fromarray(classes).resize(
            (right - left, bottom - top), Image.Resampling.NEAREST, box=self.shown
        )
        answer = np.full((height, width), IGNORED, np.uint8)
        answer[top:bottom, left:right] = np.array(part)
        return answer


def move_boxes(
    corners: npt.NDArray[Any], source: Rectangle, target: Rectangle
) -> npt.NDArray[np.float32]:
    """Maps boxes as one rectangle is mapped onto another.

    Args:
        corners: [k, 4]: top, left, bottom and right.
        source: left, top, right and bottom.
        target: likewise; where ``source`` goes.

    Returns:
        float32 [k, 4].
    """
    # Boxes have y first, rectangles x.
    (left, top, right, bottom), (x, y, x_end, y_end) = source, target
    scale = np.array([(y_end - y) / (bottom - top), (x_end - x) / (right - left)] * 2)
    moved: npt.NDArray[np.float32] = (
        (corners - np.array([top, left] * 2)) * scale + np.array([y, x] * 2)
    ).astype(np.float32)
    return moved


def place(size: tuple[int, int], side: int, fit: str, crop: float = 1.0) -> Placement:
    """Finds a photo's place.

    Args:
        size: its width and height, in pixels.
        side: height and width of the input.
        fit: one of `FITS`.
        crop: side of the centre square over the shorter side, for the fit ``crop``.
    """
    width, height = size
    whole, full = (0, 0, width, height), (0, 0, side, side)
    if fit == "crop":
        # A share such as 240/272 of 272 must not lose a pixel to rounding.
        square = max(int(crop * min(size) + 1e-6), 1)
        left, top = (width - square + 1) // 2, (height - square + 1) // 2
        return Placement(size, (left, top, left + square, top + square), side, full)
    if fit == "stretch":
        return Placement(size, whole, side, full)
    scale = side / max(size)
    across, down = (max(1, min(side, round(length * scale))) for length in size)
    left, top = (side - across) // 2, (side - down) // 2
    return Placement(size, whole, side, (left, top, left + across, top + down))
