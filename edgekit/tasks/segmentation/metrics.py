"""How good maps are: sums over pixels, and what follows from them.

Per-class figures are from sums over the whole set, not means over photos. A class that is in none
of the masks has no IoU and does not count in the mean: others count it as 1 where it is not
answered either (``zero_division`` of segmentation_models_pytorch), which lifts the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.tasks.bootstrap import draw_sets
from edgekit.tasks.segmentation.kept import IGNORED, class_count, classes_of, resize


class Sums(NamedTuple):
    """Pixels by class, int64 or float64 [..., classes], of a photo, or of many.

    Attributes:
        right: that are of the class and are answered with it.
        true: that are of the class.
        answered: that are answered with it.
    """

    right: NDArray[Any]
    true: NDArray[Any]
    answered: NDArray[Any]


def confusions(kept: NDArray[Any], labels: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Counts by photo which class was answered with which, of all pixels that have one.

    Args:
        kept: of n images.
        labels: masks, uint8 [n, height, width]; 255 where a pixel is of no class.
        classes: how many there are.

    Returns:
        int64 [n, classes, classes]: a row per true class, a column per answer.

    Raises:
        UsageError: the two do not belong together.
    """
    if len(kept) != len(labels):
        raise UsageError(f"{len(kept)} maps and {len(labels)} masks are not of the same photos")
    counts = np.zeros((len(labels), classes, classes), np.int64)
    answers = resize(classes_of(kept), *labels.shape[1:]) if len(labels) else classes_of(kept)
    for count, answer, mask in zip(counts, answers, labels, strict=True):
        known = mask != IGNORED
        truth = mask[known].astype(np.int64)
        if truth.size and truth.max() >= classes:
            raise UsageError(f"a mask has the class {truth.max()}, and there are {classes}")
        found = np.bincount(truth * classes + answer[known], minlength=classes**2)
        count[:] = found.reshape(classes, classes)
    return counts


def sums(confusion: NDArray[np.int64]) -> Sums:
    """Pixels by class, from confusion matrices [..., classes, classes]."""
    right = confusion.diagonal(axis1=-2, axis2=-1)
    return Sums(right, confusion.sum(axis=-1), confusion.sum(axis=-2))


def iou(found: Sums) -> NDArray[np.float64]:
    """Intersection over union by class, float64 [..., classes]; NaN of one in no mask."""
    return _ratio(found.right, found.true + found.answered - found.right, found.true)


def dice(found: Sums) -> NDArray[np.float64]:
    """Twice the intersection over both areas, by class; NaN of one in no mask."""
    return _ratio(2 * found.right, found.true + found.answered, found.true)


def _ratio(over: NDArray[Any], under: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.where(true > 0, over / np.where(under > 0, under, 1), math.nan)
    return ratio


def mean_iou(found: Sums) -> NDArray[np.float64]:
    """Mean IoU over the classes that are in the masks, float64 [...]; NaN where none is."""
    values = iou(found)
    present = np.isfinite(values)
    total = np.where(present, values, 0.0).sum(axis=-1)
    count = present.sum(axis=-1)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), math.nan)
    return mean


def pixel_accuracy(found: Sums) -> NDArray[np.float64]:
    """Share of the pixels with a class that are answered rightly, float64 [...]."""
    count = found.true.sum(axis=-1)
    share: NDArray[np.float64] = np.where(
        count > 0, found.right.sum(axis=-1) / np.maximum(count, 1), math.nan
    )
    return share


def total(found: Sums) -> Sums:
    """The sums of all photos of sums by photo [n, classes]."""
    return Sums(*(values.sum(axis=0) for values in found))


@dataclass(frozen=True)
class Bootstrap:
    """Sets of as many photos, drawn with replacement (`edgekit.tasks.bootstrap`).

    They are of photos and not of pixels, since the pixels of a photo are right and wrong together.

    Attributes:
        weights: how often a set has each photo, float64 [resamples, n].
    """

    weights: NDArray[np.float64]

    @classmethod
    def of(cls, photos: int) -> Bootstrap:
        """Draws the sets of so many photos; the same ones each time."""
        return cls(draw_sets(photos))

    def resampled(self, found: Sums) -> Sums:
        """The sums [resamples, classes] of each set, from those by photo [n, classes]."""
        return Sums(*(self.weights @ values for values in found))


def agreement(reference: NDArray[Any], kept: NDArray[Any]) -> float:
    """Share of all pixels with the same class in both; NaN without any.

    Raises:
        UsageError: they are not of the same photos.
    """
    before, after = paired(reference, kept)
    return float(np.mean(before == after)) if before.size else math.nan


def paired(
    reference: NDArray[Any], kept: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The classes of two kept arrays in the size of the first, uint8 [n, height, width] each.

    Raises:
        UsageError: they are not of the same photos.
    """
    before, after = classes_of(reference), classes_of(kept)
    if len(before) != len(after):
        raise UsageError(
            f"results for {len(before)} and {len(after)} photos do not come from the same photos"
        )
    return before, resize(after, *before.shape[1:])


def counted(
    kept: NDArray[Any], labels: NDArray[np.uint8], reference: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """`confusions` of as many classes as the arrays have."""
    others = [labels] if reference is None else [reference, labels]
    return confusions(kept, labels, class_count(kept, *others))
