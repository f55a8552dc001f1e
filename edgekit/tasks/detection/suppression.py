"""Non-maximum suppression: of boxes of one class that overlap, the best one stays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.detection.iou import iou

#: Boxes of one class that overlap by more are one thing (google/automl 6a54c87,
#: ``tf2/postprocess.py``, hard suppression; effdet 0.4.1 likewise).
LIMIT = 0.5
#: So many candidates are looked at first: they most often have all the boxes that are wanted.
FIRST = 500


def suppress(
    corners: NDArray[Any], classes: NDArray[Any], most: int, limit: float = LIMIT
) -> NDArray[np.int64]:
    """Which boxes stay, class by class.

    Args:
        corners: real [k, 4]: top, left, bottom, right; by score, the best first.
        classes: integers [k].
        most: boxes that are wanted, of all classes.
        limit: an intersection over union; a box that overlaps a better one by more is left out.

    Returns:
        int64 [at most ``most``], indices, the best first.
    """
    kept: list[int] = []
    for count in (FIRST, len(classes)):  # what is kept of the first ones is kept of all
        kept = _greedy(corners[:count], classes[:count], most, limit)
        if len(kept) == most or count >= len(classes):
            break
    return np.array(kept, np.int64)


def _greedy(corners: NDArray[Any], classes: NDArray[Any], most: int, limit: float) -> list[int]:
    kept: list[int] = []
    left = np.arange(len(classes))
    while left.size and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        over = iou(corners[best][None], corners[left])[0]
        left = left[(over <= limit) | (classes[left] != classes[best])]
    return kept
