"""The label of a photo as the network's input shows it: what a detector is trained on."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.data.boxes.boxes import Boxes

#: Boxes of one photo that are learned from: as in google/automl (``max_instances_per_image``).
MOST = 100
#: What a row has for a class where it has no box.
NO_CLASS = -1
#: Of a box's area. What is cut off below that shows too little of a thing: as in YOLOv5
#: (utils/augmentations.py, ``box_candidates``: ``area_thr``).
LEAST_SHARE = 0.1
#: In pixels of the input. A thing of less is no more than noise on one of them.
LEAST_SIDE = 1.0


class Shown(Protocol):
    """Where a photo is in the input: an `edgekit.data.placement.Placement`, a window."""

    @property
    def side(self) -> int:
        """Height and width of the input, in pixels."""

    def boxes_in(self, corners: NDArray[Any]) -> NDArray[np.float32]:
        """Boxes in pixels of the photo as fractions of the input's sides."""


def to_targets(boxes: Boxes, shown: Shown) -> NDArray[np.float32]:
    """Returns the boxes that the input shows, clipped to it.

    Crowds are left out, and so are boxes of which less than `LEAST_SHARE` of the area is in the
    input, and those that have less than `LEAST_SIDE` there. Of more than `MOST`, the first count.

    Args:
        boxes: of the whole photo.
        shown: where the photo is in the input.

    Returns:
        float32 [MOST, 5]: top, left, bottom, right in fractions of the input's sides, and the
        class index. The class of a row without a box is -1, and its box 0.
    """
    placed = shown.boxes_in(boxes.corners)
    clipped = np.clip(placed, 0, 1)
    sides = clipped[:, 2:] - clipped[:, :2]
    # Not products, which are 0 for boxes of a billionth of the input.
    share = (sides / np.maximum(placed[:, 2:] - placed[:, :2], 1e-9)).prod(axis=1)
    is_seen = (share >= LEAST_SHARE) & (sides.min(axis=1, initial=1) * shown.side >= LEAST_SIDE)
    kept = np.flatnonzero(is_seen & ~boxes.crowds)[:MOST]
    targets = no_targets()
    targets[: len(kept), :4] = clipped[kept]
    targets[: len(kept), 4] = boxes.classes[kept]
    return targets


def no_targets() -> NDArray[np.float32]:
    """Returns the label of a photo without boxes, float32 [MOST, 5]."""
    targets = np.zeros((MOST, 5), np.float32)
    targets[:, 4] = NO_CLASS
    return targets


def mirrored(targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the label of the input with its left and right exchanged."""
    flipped = targets.copy()
    has_box = targets[:, 4] != NO_CLASS
    flipped[has_box, 1] = 1 - targets[has_box, 3]
    flipped[has_box, 3] = 1 - targets[has_box, 1]
    return flipped


def without_hidden(targets: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Leaves out the boxes of which less than `LEAST_SHARE` can be seen.

    Args:
        targets: as `to_targets` gives them.
        hidden: bool [side, side], which pixels of the input show nothing of the photo any more.
    """
    left = no_targets()
    count = 0
    for row in targets[targets[:, 4] != NO_CLASS]:
        top, left_edge, bottom, right = np.rint(row[:4] * len(hidden)).astype(int)
        inside = hidden[top : max(bottom, top + 1), left_edge : max(right, left_edge + 1)]
        if not inside.size or 1 - inside.mean() >= LEAST_SHARE:
            left[count] = row
            count += 1
    return left
