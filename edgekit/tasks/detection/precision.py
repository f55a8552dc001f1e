"""Average precision from matches: of all photos, of resampled ones, and from sums of processes.

The rule is pycocotools' (``COCOeval.accumulate``): precision, made monotone, at 101 recalls from
0 to 1. It is computed where a detection is right only: elsewhere precision falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.detection.matching import LIMITS, Matches

#: COCO's recalls (pycocotools: ``Params.recThrs``).
RECALLS = np.linspace(0, 1, 101)
#: Numbers in a table of weights that are computed at once.
AT_ONCE = 4_000_000
#: Bins of scores, even in log-odds from -REACH to REACH: AP from them is within 0.001.
BINS, REACH = 512, 8.0


def average_precisions(
    matches: Matches, weights: NDArray[np.float64] | None = None, at_once: int = AT_ONCE
) -> NDArray[np.float64]:
    """AP by class and limit.

    Args:
        matches: of n photos.
        weights: float64 [r, n], how often each photo counts in each of r sets; None: once.
        at_once: numbers in a table that is computed at once, about.

    Returns:
        float64 [r, classes, 10], or [classes, 10] without weights; NaN of a class that is in none
        of the photos.
    """
    n, classes = matches.wanted.shape
    once = np.ones((1, n)) if weights is None else weights
    found = np.full((len(once), classes, len(LIMITS)), np.nan)
    # As a merge sort of each class: of equal scores the earlier photo comes first.
    order = np.argsort(-matches.scores, kind="stable")
    for k in range(classes):
        own = order[matches.classes[order] == k]
        right = matches.right[own]
        last = right.any(axis=1).nonzero()[0].max(initial=-1) + 1
        own, right = (
            own[:last],
            right[:last],
        )  # what is wrong after the last right one costs nothing
        rows = max(1, at_once // max(last, 1))
        for first in range(0, len(once), rows):
            part = once[first : first + rows]
            wanted = part @ matches.wanted[:, k]
            counted = part[:, matches.photos[own]]
            found[first : first + rows, k] = _by_limit(right, matches.ignored[own], counted, wanted)
    return found[0] if weights is None else found


def _by_limit(
    right: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    counted: NDArray[np.float64],
    wanted: NDArray[np.float64],
) -> NDArray[np.float64]:
    """AP of one class, [r, 10], of detections by score, each counted [r, d] times."""
    found = np.zeros((len(counted), len(LIMITS)))
    whole = counted.cumsum(axis=1)
    for limit in range(len(LIMITS)):
        places = right[:, limit].nonzero()[0]
        seen = whole
        if ignored[:, limit].any():
            seen = (counted * ~ignored[:, limit]).cumsum(axis=1)
        found[:, limit] = _area(counted[:, places].cumsum(axis=1), seen[:, places], wanted)
    found[wanted == 0] = np.nan
    return found


def _area(
    right: NDArray[np.float64], seen: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean of monotone precision over `RECALLS`.

    Args:
        right: float64 [r, p], right ones up to each of p places.
        seen: float64 [r, p], all up to them.
        wanted: float64 [r], boxes.
    """
    precision = right / np.maximum(seen, 1e-9)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = right / np.maximum(wanted, 1e-9)[:, None]
    passed = np.searchsorted(RECALLS, recall, side="right")
    steps = np.diff(passed, prepend=0, axis=1)
    area: NDArray[np.float64] = (best * steps).sum(axis=1) / len(RECALLS)
    return area


def mean_precision(values: NDArray[np.float64], limit: int | None = None) -> NDArray[np.float64]:
    """The mean over the classes that are in the photos, and over the limits or at one of them.

    Args:
        values: float64 [..., classes, 10], of `average_precisions`.
        limit: place in `edgekit.tasks.detection.matching.LIMITS`.

    Returns:
        float64 [...]; NaN where no class is in the photos.
    """
    by_class = values.mean(axis=-1) if limit is None else values[..., limit]
    present = np.isfinite(by_class)
    total = np.where(present, by_class, 0.0).sum(axis=-1)
    count = present.sum(axis=-1)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def histogram(matches: Matches) -> tuple[float, ...]:
    """Sums over photos of which `score_histogram` makes the metric.

    By class, limit and bin of scores, the highest first: detections that are right, and all that
    count; and then the boxes of each class.
    """
    classes = matches.wanted.shape[1]
    with np.errstate(divide="ignore"):
        odds = np.log(matches.scores.astype(np.float64)) - np.log1p(
            -matches.scores.astype(np.float64)
        )
    share = (REACH - np.clip(odds, -REACH, REACH)) / (2 * REACH)
    bins = np.minimum((share * BINS).astype(np.int64), BINS - 1)
    counts = np.zeros((2, len(LIMITS), classes * BINS))
    places = matches.classes * BINS + bins
    for limit in range(len(LIMITS)):
        for kind, mask in enumerate((matches.right[:, limit], ~matches.ignored[:, limit])):
            counts[kind, limit] = np.bincount(places[mask], minlength=classes * BINS)
    return (*counts.ravel().tolist(), *matches.wanted.sum(axis=0).astype(float).tolist())


def score_histogram(sums: Sequence[float]) -> float:
    """COCO AP from sums of `histogram`, a fraction; NaN where there is no box.

    The order within a bin is not known: the right ones are taken as evenly spread in it.
    """
    values: NDArray[Any] = np.array(sums, np.float64)
    classes = len(values) // (2 * len(LIMITS) * BINS + 1)
    counts, wanted = values[:-classes], values[-classes:]
    counts = counts.reshape(2, len(LIMITS), classes, BINS)
    found = np.full((classes, len(LIMITS)), np.nan)
    for k in wanted.nonzero()[0].tolist():
        for limit in range(len(LIMITS)):
            right, seen = (counts[kind, limit, k].astype(np.int64) for kind in (0, 1))
            places = np.arange(right.sum()) + 1 - np.repeat(right.cumsum() - right, right)
            spread = places * np.repeat((seen + 1) / (right + 1), right)
            before = np.repeat(seen.cumsum() - seen, right)
            total = np.arange(1.0, right.sum() + 1)
            found[k, limit] = _area(total[None], (before + spread)[None], wanted[k : k + 1])[0]
    return float(mean_precision(found))
