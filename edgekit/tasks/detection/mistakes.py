"""What is wrong in a photo: boxes that were missed, and detections of nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.detection.closeness import SURE
from edgekit.tasks.detection.matching import AT_50, Matches


@dataclass(frozen=True, eq=False)
class Mistakes:
    """By photo, [n] each.

    Attributes:
        boxes: int64, those that are no crowds.
        found: int64, those with a detection of their class, an IoU of 0.5 and a score of 0.3.
        false: int64, detections of that score of nothing, or of a box that has one already.
        loss: float64: 1 - score for each box that is found, with whatever score, 1 for each that
            is not, and the score for each of the false detections.
    """

    boxes: NDArray[np.int64]
    found: NDArray[np.int64]
    false: NDArray[np.int64]
    loss: NDArray[np.float64]


def count_mistakes(matches: Matches) -> Mistakes:
    """Counts the mistakes in each photo."""
    boxes = matches.wanted.sum(axis=1)
    n, right = len(boxes), matches.right[:, AT_50]
    wrong = ~right & ~matches.ignored[:, AT_50]
    sure = matches.scores >= SURE

    def by_photo(mask: NDArray[np.bool_], values: NDArray[np.float32] | None = None) -> Any:
        return np.bincount(matches.photos[mask], None if values is None else values[mask], n)

    return Mistakes(
        boxes=boxes,
        found=by_photo(right & sure),
        false=by_photo(wrong & sure),
        loss=boxes - by_photo(right, matches.scores) + by_photo(wrong & sure, matches.scores),
    )


def lost_boxes(before: Matches, after: Matches) -> NDArray[np.int64]:
    """Boxes of each photo that one form finds with a score of 0.3, and another does not, [n]."""
    n = len(before.wanted)
    most = 1 + max((int(m.found.max(initial=0)) for m in (before, after)), default=0)
    seen = np.zeros((2, n, most), bool)
    for form, matches in enumerate((before, after)):
        sure = (matches.found >= 0) & (matches.scores >= SURE)
        seen[form, matches.photos[sure], matches.found[sure]] = True
    lost: NDArray[np.int64] = (seen[0] & ~seen[1]).sum(axis=1)
    return lost
