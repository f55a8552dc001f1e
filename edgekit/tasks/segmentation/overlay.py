"""Classes drawn over a photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.data.palette import class_colors
from edgekit.data.placement import IGNORED

SHARE = 0.5


def draw(
    pixels: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    *,
    colors: NDArray[np.uint8] | None = None,
    share: float = SHARE,
) -> NDArray[np.uint8]:
    """Blends the colours of classes with a photo, and draws the edges between them.

    Class 0, which is black in Pascal VOC's colours and most often what is behind, leaves the
    photo as it is, as do pixels of no class.

    Args:
        pixels: uint8 [height, width, 3], RGB.
        classes: uint8 [height, width]; 255 where a pixel is of no class.
        colors: of the classes, uint8 [n, 3]; those of Pascal VOC where none are given.
        share: of the colour in a pixel of a class; an edge has all of it.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    palette = class_colors(IGNORED + 1) if colors is None else colors
    shown = (classes != 0) & (classes != IGNORED)
    wanted = palette[np.where(shown, classes, 0)]
    weight = np.where(shown, share, 0.0)
    weight[edges(classes) & shown] = 1.0
    blended = pixels + (wanted.astype(np.float32) - pixels) * weight[..., None]
    found: NDArray[np.uint8] = np.rint(blended).astype(np.uint8)
    return found


def draw_difference(
    pixels: NDArray[np.uint8], classes: NDArray[np.uint8], others: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The photo in dim grey, and where two maps differ, the colours of the second one.

    Class 0 is white there, so that it is seen.

    Args:
        pixels: uint8 [height, width, 3], RGB.
        classes: uint8 [height, width].
        others: likewise, of the colours.
    """
    palette = class_colors(IGNORED + 1)
    palette[0] = 255
    grey = np.repeat(pixels.mean(axis=2, keepdims=True) * 0.5, 3, axis=2).astype(np.uint8)
    differs = (classes != others) & (classes != IGNORED) & (others != IGNORED)
    return np.where(differs[..., None], palette[others], grey)


def edges(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a pixel has another class than the one to its right or below it, bool [h, w]."""
    edge = np.zeros(classes.shape, bool)
    edge[:-1] |= classes[:-1] != classes[1:]
    edge[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    return edge
