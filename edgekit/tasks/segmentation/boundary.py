"""How well the outlines of classes are found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.tasks.segmentation.kept import IGNORED, class_count, classes_of, resize

#: How far an outline may be off, over the diagonal of the map.
TOLERANCE = 0.0075
#: Photos at once, so that their arrays stay small.
PHOTOS = 32


def boundary_f1(kept: NDArray[Any], labels: NDArray[np.uint8]) -> float:
    """F1 of the outlines of classes.

    (G. Csurka, D. Larlus and F. Perronnin, "What is a good evaluation measure for semantic
    segmentation?", BMVC 2013, section 2.2.) Of a photo and a class, precision is the share of the
    answer's outline that is within the tolerance of the mask's, recall the share of the mask's
    within that of the answer's; the tolerance is 0.75 % of the diagonal, at least a pixel. The
    mean is over the classes whose outline a mask has, photo by photo. An outline is the pixels of
    a class beside one of another class (above, below, left, right); pixels of no class, and what
    is answered there, have none.

    Args:
        kept: of n images.
        labels: masks, uint8 [n, height, width]; 255 where a pixel is of no class.

    Returns:
        A fraction; NaN where no mask has an outline.

    Raises:
        UsageError: the two do not belong together.
    """
    if len(kept) != len(labels):
        raise UsageError(f"{len(kept)} maps and {len(labels)} masks are not of the same photos")
    if not len(labels):
        return math.nan
    classes = class_count(kept, labels)
    radius = max(1, round(TOLERANCE * math.hypot(*labels.shape[1:])))
    found: list[NDArray[np.float64]] = []
    for first in range(0, len(labels), PHOTOS):
        masks = labels[first : first + PHOTOS]
        answers = resize(classes_of(kept[first : first + PHOTOS]), *masks.shape[1:])
        answers = np.where(masks == IGNORED, np.uint8(IGNORED), answers)
        wanted, given = _outlines(masks), _outlines(answers)
        for label in range(classes):
            scores = _scores(wanted & (masks == label), given & (answers == label), radius)
            found.append(scores[np.isfinite(scores)])
    scores = np.concatenate(found)
    return float(scores.mean()) if scores.size else math.nan


def _scores(
    wanted: NDArray[np.bool_], given: NDArray[np.bool_], radius: int
) -> NDArray[np.float64]:
    """F1 by photo of the outlines [n, height, width] of a class; NaN where none is wanted."""
    area = (1, 2)
    n_wanted, n_given = wanted.sum(axis=area), given.sum(axis=area)
    hit = (given & _widened(wanted, radius)).sum(axis=area) / np.maximum(n_given, 1)
    reached = (wanted & _widened(given, radius)).sum(axis=area) / np.maximum(n_wanted, 1)
    both = hit + reached
    f1 = 2 * hit * reached / np.where(both > 0, both, 1)
    scores: NDArray[np.float64] = np.where(n_wanted > 0, f1, math.nan)
    return scores


def _outlines(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a pixel is beside one of another class, bool [n, height, width]."""
    edge = np.zeros(classes.shape, bool)
    for one, other in (
        (np.s_[:, 1:, :], np.s_[:, :-1, :]),
        (np.s_[:, :, 1:], np.s_[:, :, :-1]),
    ):
        a, b = classes[one], classes[other]
        differs = (a != b) & (a != IGNORED) & (b != IGNORED)
        edge[one] |= differs
        edge[other] |= differs
    return edge


def _widened(points: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Where a point is within a radius, bool [n, height, width]: a disc, row by row."""
    height, width = points.shape[1:]
    padded = np.pad(points, ((0, 0), (0, 0), (radius + 1, radius))).cumsum(axis=2, dtype=np.int32)
    near = np.zeros(points.shape, bool)
    for down in range(-min(radius, height - 1), min(radius, height - 1) + 1):
        across = math.isqrt(radius**2 - down**2)
        right = padded[:, :, radius + 1 + across : radius + 1 + across + width]
        left = padded[:, :, radius - across : radius - across + width]
        row = right > left
        near[:, max(down, 0) : height + min(down, 0)] |= row[
            :, max(-down, 0) : height + min(-down, 0)
        ]
    return near
