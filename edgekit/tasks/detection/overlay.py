"""Boxes drawn on a photo, each in the colour of its class and with its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edgekit.data.palette import class_colors

#: Of a line and of a letter's height, over the photo's shorter side; and the least, in pixels.
LINE, LEAST_LINE = 1 / 200, 2
LETTER, LEAST_LETTER = 1 / 30, 10


def box_colors(count: int) -> NDArray[np.uint8]:
    """The colours of classes, uint8 [count, 3], RGB: Pascal VOC's without its black."""
    return class_colors(count + 1)[1:]


def draw_boxes(
    pixels: NDArray[np.uint8],
    corners: NDArray[Any],
    classes: Sequence[int] | NDArray[Any],
    names: Sequence[str],
    scores: Sequence[float] | NDArray[Any] | None = None,
) -> NDArray[np.uint8]:
    """Draws boxes, the last one first, so that the best of those sorted by score is on top.

    Args:
        pixels: uint8 [height, width, 3], RGB.
        corners: real [k, 4]: top, left, bottom, right in pixels; what is beyond the photo is cut.
        classes: of each box.
        names: of all classes; one without a name is shown by its number.
        scores: of each box, 0 to 1; None for boxes that are labels.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    image = Image.fromarray(pixels).convert("RGB")
    pen = ImageDraw.Draw(image)
    short = min(image.size)
    width = max(LEAST_LINE, round(LINE * short))
    font = ImageFont.load_default(max(LEAST_LETTER, round(LETTER * short)))
    colors = box_colors(int(max(classes, default=0)) + 1)
    for place in reversed(range(len(classes))):
        top, left, bottom, right = _within(corners[place], image.size)
        k = int(classes[place])
        color = tuple(colors[k].tolist())
        pen.rectangle((left, top, right, bottom), outline=color, width=width)
        words = names[k] if k < len(names) else str(k)
        if scores is not None:
            words += f" {scores[place]:.0%}"
        _label(pen, (left, top), words, color, font, image.size)
    return np.array(image)


def _within(corners: NDArray[Any], size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    top, left, bottom, right = np.clip(
        np.rint(np.asarray(corners, np.float64)), 0, [height - 1, width - 1] * 2
    ).tolist()
    return int(top), int(left), int(bottom), int(right)


def _label(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    words: str,
    color: tuple[int, ...],
    font: Any,
    size: tuple[int, int],
) -> None:
    """Writes on a field of the colour above a box's corner, or below it at the photo's top."""
    left, top, right, bottom = pen.textbbox((0, 0), words, font=font)
    wide, high = right - left + 4, bottom - top + 4
    x = max(0, min(at[0], size[0] - int(wide)))
    y = at[1] - high if at[1] >= high else at[1]
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=color)
    red, green, blue = color
    # Relative luminance, ITU-R BT.601: dark letters on light fields.
    is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 128
    pen.text((x + 2 - left, y + 2 - top), words, fill="black" if is_light else "white", font=font)
