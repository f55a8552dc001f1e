"""How near detections are to a reference's, and what that lets expect; no box is needed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.tasks.detection.iou import iou
from edgekit.tasks.detection.kept import class_count, detections_of
from edgekit.tasks.detection.matching import AT_ONCE, LIMITS, assign
from edgekit.tasks.detection.precision import RECALLS

#: The score from which on a detection is an answer, and not one of many guesses.
SURE = 0.3
#: A detection is found again with this share of its score.
LEAST_SHARE = 0.5
#: Two detections are of one thing from this overlap on: that of suppression, and of AP50.
ONE_THING = np.array([0.5])


class Again(NamedTuple):
    """How far the answers of a reference are found again.

    Attributes:
        share: of the reference's detections with a score of `SURE`, those that the other network
            has with the same class, an IoU of 0.5, and half of the score; 1 where the other has no
            such detection either, 0 where it has.
        iou: the mean over them; NaN without any.
        score_difference: the mean of the other's score less the reference's, likewise.
    """

    share: float
    iou: float
    score_difference: float


def find_again(reference: NDArray[Any], kept: NDArray[Any]) -> Again:
    """Compares the answers of n images; NaN where n is 0.

    Raises:
        UsageError: they are not of the same photos.
    """
    before, after = _paired(reference, kept)
    if not len(before):
        return Again(math.nan, math.nan, math.nan)
    sure = before[:, :, 4] >= SURE
    if not sure.any():
        return Again(float(not (after[:, :, 4] >= SURE).any()), math.nan, math.nan)
    found, overlaps = pairs(np.where(sure[:, :, None], before, 0), after)
    scores = np.take_along_axis(after[:, :, 4], np.maximum(found, 0), axis=1)
    again = (found >= 0) & (scores >= LEAST_SHARE * before[:, :, 4])
    if not again.any():
        return Again(0.0, math.nan, math.nan)
    return Again(
        float(again.sum() / sure.sum()),
        float(overlaps[again].mean()),
        float((scores - before[:, :, 4])[again].mean()),
    )


def pairs(
    one: NDArray[np.float32], other: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gives each detection in turn the free one of the other set that overlaps it most.

    Args:
        one: detections of n images, float32 [n, k, 6], the best first.
        other: likewise.

    Returns:
        int64 [n, k], which of the other set, -1 for none of the class with an IoU of 0.5; and
        float64 [n, k], the IoU, 0 for none.
    """
    found = np.full(one.shape[:2], -1)
    overlaps = np.zeros(one.shape[:2])
    for first in range(0, len(one), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        a, b = one[part], other[part]
        same = (a[:, :, None, 5] == b[:, None, :, 5]) & (a[:, :, None, 4] > 0)
        same &= b[:, None, :, 4] > 0
        table = np.where(same, iou(a[..., :4].astype(float), b[..., :4].astype(float)), -1.0)
        found[part] = assign(table, ONE_THING)[:, :, 0]
        own = np.take_along_axis(table, np.maximum(found[part], 0)[:, :, None], axis=2)[:, :, 0]
        overlaps[part] = np.where(found[part] >= 0, own, 0.0)
    return found, overlaps


def are_comparable(reference: NDArray[Any], kept: NDArray[Any]) -> bool:
    """Whether both have the logits of the same anchors."""
    before, after = reference["peaks"].shape[1], kept["peaks"].shape[1]
    return bool(0 < before == after)


def kl_by_photo(reference: NDArray[Any], kept: NDArray[Any]) -> NDArray[np.float64]:
    """The divergence of the highest score of each anchor, weighed by that score.

    A score is the probability p that an anchor has something, and a photo's divergence
    ``Σ max(p, q) KL(p ‖ q) / (1 + Σ p)``: of ten thousand anchors nearly all have nothing, and
    without the weight (p of the reference, q of the other) rounding there would be all of the sum.
    So it is about the mean over the anchors that have something in one of the two.

    Args:
        reference: of n images.
        kept: of the same.

    Returns:
        float64 [n], nats. NaN of a photo with a logit that is not a number, and of all photos
        where the two have not the same anchors.

    Raises:
        UsageError: they are not of the same photos.
    """
    _paired(reference, kept)
    found = np.full(len(kept), math.nan)
    if not are_comparable(reference, kept):
        return found
    for photo, (x, y) in enumerate(zip(reference["peaks"], kept["peaks"], strict=True)):
        wanted, other = x.astype(np.float64), y.astype(np.float64)
        p, q = (np.exp(-_softplus(-logits)) for logits in (wanted, other))
        divergence = p * (wanted - other) + _softplus(other) - _softplus(wanted)
        found[photo] = (np.maximum(p, q) * divergence).sum() / (1 + p.sum())
    return found


def _softplus(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 + exp(x)): minus the logarithm of 1 less the probability."""
    with np.errstate(invalid="ignore"):  # what is not a number stays so
        found: NDArray[np.float64] = np.logaddexp(0, logits)
    return found


def expected_drop(reference: NDArray[Any], kept: NDArray[Any]) -> float:
    """The loss of AP that the reference's own scores let expect, a fraction.

    The mean of `expected_drops` over COCO's limits: 0 where both answer alike, below 0 where the
    other answers are the better ones; NaN where the reference detects nothing.
    """
    drops = expected_drops(reference, kept)
    return math.nan if drops is None else float(drops.mean())


def expected_drops(reference: NDArray[Any], kept: NDArray[Any]) -> NDArray[np.float64] | None:
    """The loss of AP at each of `LIMITS` that the reference's own scores let expect.

    What is true is taken as drawn from the reference: its detection is of a thing with the
    probability of its score, and the thing's box is beside its own by 1 - IoU = e, with e even
    from 0 to 0.5, in a direction that has nothing to do with the other network's error. A box of
    the other network whose IoU with the reference's is 1 - d is then off by √(e² + d²), as
    `credit` has it. Of both, AP is the mean over the classes of precision at COCO's 101 recalls.

    Args:
        reference: of n images.
        kept: of the same.

    Returns:
        float64 [10], fractions; None where the reference detects nothing.

    Raises:
        UsageError: they are not of the same photos.
    """
    before, after = _paired(reference, kept)
    found, overlaps = pairs(after, before)
    scores = np.take_along_axis(before[:, :, 4], np.maximum(found, 0), axis=1)
    scores = np.where(found >= 0, scores, 0)
    drops = []
    for k in range(class_count(reference)):
        own, other = _of_class(before, k), _of_class(after, k)
        true = before[own][:, 4].astype(np.float64)
        if not true.size:
            continue
        first = _expected(true, true[:, None] * credit(np.ones_like(true)), true.sum())
        right = scores[other][:, None] * credit(overlaps[other])
        drops.append(first - _expected(after[other][:, 4], right, true.sum()))
    return np.mean(drops, axis=0) if drops else None


def credit(overlaps: NDArray[Any]) -> NDArray[np.float64]:
    """How probably boxes [k] are right at each of `LIMITS`, by their IoU with the reference's.

    One is right at a limit t where √(e² + d²) ≤ 1 - t, for an even e from 0 to 0.5 (see
    `expected_drops`): with the probability 2 √((1 - t)² - d²), and 0 where d is more.

    Returns:
        float64 [k, 10].
    """
    off = (1 - overlaps.astype(np.float64))[:, None]
    room = (1 - LIMITS) ** 2 - off**2
    right: NDArray[np.float64] = 2 * np.sqrt(np.maximum(room, 0))
    return right


def _of_class(detections: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = (detections[:, :, 5] == k) & (detections[:, :, 4] > 0)
    return mask


def _expected(
    scores: NDArray[Any], right: NDArray[np.float64], wanted: float
) -> NDArray[np.float64]:
    """AP at each limit of detections that are right with a probability [k, 10], of things whose
    number is expected.
    """
    order = np.argsort(-scores, kind="stable")
    total = right[order].cumsum(axis=0)
    precision = total / np.arange(1, len(total) + 1)[:, None]
    best = np.maximum.accumulate(precision[::-1])[::-1]
    # The recall of all may round to a little less than 1.
    passed = np.searchsorted(RECALLS, total / wanted + 1e-9, side="right")
    area: NDArray[np.float64] = (best * np.diff(passed, axis=0, prepend=0)).sum(axis=0)
    return area / len(RECALLS)


def _paired(
    reference: NDArray[Any], kept: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if len(reference) != len(kept):
        raise UsageError(
            f"results for {len(reference)} and {len(kept)} photos do not come from the same photos"
        )
    if class_count(reference) != class_count(kept):
        raise UsageError(
            f"results of {class_count(reference)} and {class_count(kept)} classes cannot be "
            "compared"
        )
    return detections_of(reference), detections_of(kept)
