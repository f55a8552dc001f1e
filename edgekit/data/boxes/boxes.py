"""The boxes of one photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Boxes:
    """What is known of a photo: k things, each in a box.

    Attributes:
        corners: float32 [k, 4]: top, left, bottom and right, in pixels of the whole, upright
            photo; a corner is a point between pixels, so that the photo is 0, 0, height, width.
        classes: int64 [k], class indices from 0.
        crowds: bool [k], whether a box is round a crowd: nothing is learned from it, and what is
            found in it counts neither for nor against (COCO's ``iscrowd``).
        areas: float64 [k], in pixels: of the thing itself where that is known, else of its box.
            COCO's metric calls things small, medium and large by it.
    """

    corners: NDArray[np.float32]
    classes: NDArray[np.int64]
    crowds: NDArray[np.bool_]
    areas: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, indices: Sequence[int] | NDArray[np.bool_] | NDArray[np.int64]) -> Boxes:
        """The boxes at these indices, or where a mask is true."""
        return Boxes(
            self.corners[indices], self.classes[indices], self.crowds[indices], self.areas[indices]
        )


def make_boxes(corners: Sequence[Sequence[float]], classes: Sequence[int]) -> Boxes:
    """Boxes of things without crowds, whose areas are those of the boxes.

    Args:
        corners: k times top, left, bottom, right.
        classes: k class indices.
    """
    sides = np.array(corners, np.float32).reshape(-1, 4)
    areas = np.prod((sides[:, 2:] - sides[:, :2]).astype(np.float64), axis=1)
    return Boxes(sides, np.array(classes, np.int64), np.zeros(len(sides), np.bool_), areas)
