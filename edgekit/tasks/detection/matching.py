"""Which detection is of which box: COCO's rule, for all photos and IoU thresholds at once.

It is that of pycocotools 2.0 (``COCOeval.evaluateImg``) for boxes of all sizes; `coco` asks the
library itself. What is here can be resampled photo by photo, and added up over processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.tasks.detection.iou import coverage, iou
from edgekit.tasks.detection.kept import class_count, detections_of
from edgekit.tasks.detection.truth import check_classes, photo_corners

#: COCO's thresholds, 0.50 to 0.95 (pycocotools: ``Params.iouThrs``).
LIMITS = np.linspace(0.5, 0.95, 10)
AT_50, AT_75 = 0, 5
#: Photos that are matched at once: 100 detections and 100 boxes of each are 5 MB a table.
AT_ONCE = 64


def assign(overlaps: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.int64]:
    """Gives each detection in turn the box that it overlaps most of those that are left.

    Args:
        overlaps: float64 [n, k, m], of the k detections of n photos, the best first, with m
            boxes; negative where the two cannot be one thing.
        limits: float64 [t], the least overlap.

    Returns:
        int64 [n, k, t], which box a detection has at each limit; -1 for none. Of equal overlaps
        the last box, as pycocotools.
    """
    n, k, m = overlaps.shape
    found = np.full((n, k, len(limits)), -1, np.int64)
    if not m:
        return found
    backwards = overlaps[:, :, ::-1]
    least = np.minimum(limits, 1 - 1e-10)  # pycocotools': two equal boxes may round below 1
    left = np.ones((n, len(limits), m), bool)
    for place in range(k):
        values = np.where(left, backwards[:, place, None, :], -1.0)
        best = values.argmax(axis=2)
        hit = np.take_along_axis(values, best[:, :, None], axis=2)[:, :, 0] >= least
        photos, thresholds = np.nonzero(hit)
        left[photos, thresholds, best[photos, thresholds]] = False
        found[:, place][hit] = m - 1 - best[hit]
    return found


@dataclass(frozen=True, eq=False)
class Matches:
    """The d detections of n photos, photo by photo, the best of each first.

    Attributes:
        photos: int64 [d], of which photo each is.
        classes: int64 [d].
        scores: float32 [d].
        right: bool [d, 10], whether it is of a box, at each of `LIMITS`.
        ignored: bool [d, 10], whether it is in a crowd alone, and does not count.
        wanted: int64 [n, classes], boxes of each photo that are no crowds.
        found: int64 [d], at the first limit, which box of the photo; -1 for none.
    """

    photos: NDArray[np.int64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    wanted: NDArray[np.int64]
    found: NDArray[np.int64]


def match(kept: NDArray[Any], truths: NDArray[Any]) -> Matches:
    """Matches the detections of n photos with their boxes.

    Args:
        kept: of n images (`edgekit.tasks.detection.kept`).
        truths: of the same, `edgekit.tasks.detection.truth.Truth`.

    Raises:
        UsageError: they do not belong together, or a box has a class that the network has not.
    """
    if len(kept) != len(truths):
        raise UsageError(
            f"results for {len(kept)} and labels of {len(truths)} photos do not belong together"
        )
    wanted = np.zeros((len(truths), class_count(kept)), np.int64)
    for photo, truth in enumerate(truths):
        boxes = truth.boxes
        check_classes(boxes, wanted.shape[1])
        wanted[photo] = np.bincount(boxes.classes[~boxes.crowds], minlength=wanted.shape[1])
    parts = [
        _match_some(kept[first : first + AT_ONCE], truths[first : first + AT_ONCE])
        for first in range(0, len(kept), AT_ONCE)
    ]
    detections = detections_of(kept)
    shown = detections[:, :, 4] > 0
    limits = len(LIMITS)
    assigned = np.concatenate([np.empty((0, limits), np.int64), *(own for own, _ in parts)])
    ignored = np.concatenate([np.empty((0, limits), bool), *(crowd for _, crowd in parts)])
    return Matches(
        photos=np.nonzero(shown)[0],
        classes=detections[shown][:, 5].astype(np.int64),
        scores=detections[shown][:, 4],
        right=assigned >= 0,
        ignored=ignored,
        wanted=wanted,
        found=assigned[:, AT_50],
    )


def _match_some(
    kept: NDArray[Any], truths: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The box of each detection, and whether it is in a crowd alone; [detections, 10] each."""
    detections = detections_of(kept)
    most = max((len(truth.boxes) for truth in truths), default=0)
    corners = np.zeros((len(truths), most, 4))
    classes = np.full((len(truths), most), -1)
    crowds = np.zeros((len(truths), most), bool)
    for photo, truth in enumerate(truths):
        count = len(truth.boxes)
        corners[photo, :count] = truth.boxes.corners
        classes[photo, :count] = truth.boxes.classes
        crowds[photo, :count] = truth.boxes.crowds
    own = photo_corners(detections[:, :, :4], [truth.placement for truth in truths])
    shown = detections[:, :, 4] > 0
    same = (detections[:, :, 5, None] == classes[:, None]) & shown[:, :, None]
    overlaps = np.where(same & ~crowds[:, None], iou(own, corners), -1.0)
    assigned = assign(overlaps, LIMITS)
    inside = np.where(same & crowds[:, None], coverage(own, corners), -1.0)
    in_crowd = inside.max(axis=2, initial=-1.0)[:, :, None] >= LIMITS
    return assigned[shown], (in_crowd & (assigned < 0))[shown]
