"""The colours in which classes are drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def class_colors(count: int) -> npt.NDArray[np.uint8]:
    """The colours of Pascal VOC, uint8 [count, 3], RGB; class 0 is black.

    The bits of a class index, three at a time, are the high bits of red, green and blue (VOC
    development kit, ``VOClabelcolormap``).
    """
    index = np.arange(count)
    colors = np.zeros((count, 3), np.int64)
    for level in range(8):
        for channel in range(3):
            colors[:, channel] |= ((index >> (3 * level + channel)) & 1) << (7 - level)
    return colors.astype(np.uint8)
