"""How near maps are to a reference's, by its probabilities; no mask is needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.tasks.segmentation.kept import classes_of, has_logits, logits_of, on_grid, resize
from edgekit.tasks.segmentation.metrics import Sums, iou, paired


def are_comparable(reference: NDArray[Any], kept: NDArray[Any]) -> bool:
    """Whether both have logits, of maps of one size."""
    if not (has_logits(reference) and has_logits(kept)):
        return False
    return logits_of(reference).shape[1:] == logits_of(kept).shape[1:]


def kl_by_photo(reference: NDArray[Any], kept: NDArray[Any]) -> NDArray[np.float64]:
    """KL(softmax(reference) ‖ softmax(kept)), the mean over the kept logits of each photo.

    Args:
        reference: of n images, with logits.
        kept: of the same.

    Returns:
        float64 [n], nats. NaN of a photo with a logit that is not finite, and of all photos where
        one of the two has only classes, or maps of different sizes.

    Raises:
        UsageError: they are not of the same photos.
    """
    if len(reference) != len(kept):
        raise UsageError(
            f"results for {len(reference)} and {len(kept)} photos do not come from the same photos"
        )
    found = np.full(len(kept), math.nan)
    if not are_comparable(reference, kept):
        return found
    pairs = zip(logits_of(reference), logits_of(kept), strict=True)
    for photo, (p, q) in enumerate(pairs):
        log_p, log_q = log_softmax(p), log_softmax(q)
        found[photo] = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean()
    return found


def expected_drop(reference: NDArray[Any], kept: NDArray[Any]) -> float:
    """The loss of mIoU that the reference's own probabilities let expect, a fraction.

    The class of a pixel is taken as drawn from the reference's probabilities. Both answers are
    counted against that, pixel by pixel, over the classes that the reference answers anywhere;
    where they are equal, so are their sums. It needs no mask, and photos on which the two are
    right in turn do not add to its error.

    Args:
        reference: of n images, with logits.
        kept: of the same.

    Returns:
        A fraction, below 0 where the other answers are the better ones of the two; NaN where a
        logit of the reference is not finite, or it has none.

    Raises:
        UsageError: they are not of the same photos.
    """
    before, after = (on_grid(classes) for classes in paired(reference, kept))
    if not before.size or not has_logits(reference):
        return math.nan
    classes = logits_of(reference).shape[-1]
    weighted = np.zeros((2, classes))
    counts = np.zeros((2, classes))
    true = np.zeros(classes)
    for photo, logits in enumerate(logits_of(reference)):
        p = np.exp(log_softmax(logits)).reshape(-1, classes)
        true += p.sum(axis=0)
        for form, answers in enumerate((before[photo], after[photo])):
            answer = np.minimum(answers.reshape(-1), classes - 1).astype(np.int64)
            own = np.take_along_axis(p, answer[:, None], axis=1)[:, 0]
            weighted[form] += np.bincount(answer, own, classes)
            counts[form] += np.bincount(answer, minlength=classes)
    if not np.isfinite(true).all():
        return math.nan
    answered = counts[0] > 0
    first, second = (iou(Sums(weighted[form], true, counts[form]))[answered] for form in (0, 1))
    return float((first - second).mean())


def cross_entropy(kept: NDArray[Any], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The loss of each photo: minus the logarithm of its pixels' probabilities, on the mean.

    Args:
        kept: of n images, with logits.
        labels: masks, uint8 [n, height, width].

    Returns:
        float64 [n], nats; NaN of a photo whose logits are not finite, 0 of one without a class.
    """
    found = np.zeros(len(kept))
    labels = resize(labels, *classes_of(kept).shape[1:])
    for photo, (logits, mask) in enumerate(zip(logits_of(kept), on_grid(labels), strict=True)):
        log_p = log_softmax(logits)
        known = mask < log_p.shape[-1]
        own = np.take_along_axis(log_p, np.where(known, mask, 0)[..., None], axis=-1)[..., 0]
        found[photo] = -own[known].mean() if known.any() else 0.0
    return found


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Logarithms of the probabilities over the last axis, float64 of the same shape."""
    values = logits.astype(np.float64)
    shifted = values - values.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
