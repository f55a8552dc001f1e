"""How good a classifier's answers are: arrays in, plain fractions from 0 to 1 out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError

Z_95 = 1.959964  # two-sided 95 % quantile of the normal distribution


def top_k(logits: NDArray[Any], labels: NDArray[np.integer[Any]], k: int) -> NDArray[np.bool_]:
    """Says for each photo whether its label is among the k highest logits.

    Quantized models tie often, so the ranking of ties is fixed: the lower class index wins, as in
    ``argmax``. A label whose logit is not a number is never found.

    Args:
        logits: scores ``[n, classes]`` of any real dtype; only their order matters.
        labels: true class indices ``[n]``.
        k: how many of the highest classes count; more than there are classes means all.

    Returns:
        ``bool[n]``.

    Raises:
        UsageError: the shapes disagree, a label is not a class index, or k is below 1.
    """
    logits, labels = _answered(logits, labels)
    if k < 1:
        raise UsageError(f"top-{k} does not exist", hint="use k = 1 or more")
    if labels.size == 0:
        return np.zeros(0, np.bool_)
    classes = logits.shape[1]
    own = logits[np.arange(len(labels)), labels][:, None]
    ahead = np.arange(classes) < labels[:, None]
    rank = ((logits > own) | ((logits == own) & ahead)).sum(axis=1)
    found: NDArray[np.bool_] = (rank < k) & (own == own)[:, 0]  # NaN differs from itself
    return found


def confusion(logits: NDArray[Any], labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Counts how often which class was answered with which.

    Args:
        logits: scores ``[n, classes]`` of any real dtype; of ties the lower class index wins.
        labels: true class indices ``[n]``.

    Returns:
        ``int64[classes, classes]``: a row per true class, a column per answer.

    Raises:
        UsageError: the shapes disagree, or a label is not a class index.
    """
    logits, labels = _answered(logits, labels)
    counts = np.zeros((logits.shape[1],) * 2, np.int64)
    if len(labels):
        np.add.at(counts, (labels, logits.argmax(axis=1)), 1)
    return counts


def cross_entropy(logits: NDArray[Any], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The loss of each photo: minus the logarithm of its class's probability.

    Args:
        logits: scores ``[n, classes]`` of any real dtype.
        labels: true class indices ``[n]``.

    Returns:
        ``float64[n]``, nats; NaN where the logits are not finite.

    Raises:
        UsageError: the shapes disagree, or a label is not a class index.
    """
    logits, labels = _answered(logits, labels)
    if not len(labels):
        return np.zeros(0)
    with np.errstate(invalid="ignore"):  # infinity minus itself
        scores = _log_softmax(logits.astype(np.float64))
    losses: NDArray[np.float64] = -scores[np.arange(len(labels)), labels]
    return losses


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities, float64 ``[n, classes]``, of scores ``[n, classes]`` of any real dtype."""
    return np.exp(_log_softmax(np.asarray(logits, np.float64)))


def _answered(
    logits: NDArray[Any], labels: NDArray[np.integer[Any]]
) -> tuple[NDArray[Any], NDArray[np.integer[Any]]]:
    """Sees to it that there is a row of scores per label, with one for its class."""
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise UsageError(
            f"logits of shape {logits.shape} and labels of shape {labels.shape} do not belong "
            "together",
            hint="pass logits as [n, classes] and labels as [n]",
        )
    classes = logits.shape[1]
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise UsageError(
            f"labels reach from {labels.min()} to {labels.max()}, but the model has {classes} "
            "classes",
            hint="use the labels that the model was trained with",
        )
    return logits, labels


def wilson_interval(successes: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Interval that holds the true fraction behind ``successes`` of ``n``, within 0 and 1.

    The score interval of E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927) 209-212; unlike the textbook p ± z·√(p(1-p)/n) it holds near 0 and 1,
    where good classifiers are. Without a single trial the answer is (0, 1).

    Raises:
        UsageError: ``successes`` is not between 0 and ``n``.
    """
    if not 0 <= successes <= n:
        raise UsageError(f"{successes} successes in {n} trials are impossible")
    if n == 0:
        return 0.0, 1.0
    p, z2 = successes / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At the ends the formula gives 0 and 1 exactly, but floating point does not.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high


def agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Fraction of equal entries in two arrays of predicted classes ``[n]``; NaN where n is 0.

    Raises:
        UsageError: the shapes differ.
    """
    a, b = _paired(a, b)
    return float(np.mean(a == b)) if a.size else math.nan


def kl_divergence(reference: NDArray[Any], logits: NDArray[Any]) -> float:
    """Mean over the photos of KL(softmax(reference) ‖ softmax(logits)), in nats.

    S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of Mathematical
    Statistics 22 (1951) 79-86. Computed in float64 from the logarithms of the softmax, so that
    logits of any size neither overflow nor vanish.

    Args:
        reference: scores ``[n, classes]`` of the network that counts as true.
        logits: scores ``[n, classes]`` of the other one on the same photos.

    Returns:
        0 for equal answers; NaN where n is 0 or a logit is not finite.

    Raises:
        UsageError: the shapes differ.
    """
    found = kl_by_photo(reference, logits)
    # Rounding may leave a tiny negative sum where the two are equal.
    return float(found.mean().clip(min=0)) if len(found) else math.nan


def kl_by_photo(reference: NDArray[Any], logits: NDArray[Any]) -> NDArray[np.float64]:
    """The divergence of each photo, [n], as `kl_divergence` has their mean.

    All are NaN where a logit is not finite, of whatever photo.

    Raises:
        UsageError: the shapes differ.
    """
    before, after = _paired(reference, logits)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return np.full(len(before), math.nan)
    log_p, log_q = (_log_softmax(scores.astype(np.float64)) for scores in (before, after))
    found: NDArray[np.float64] = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return found


def expected_drop(reference: NDArray[Any], logits: NDArray[Any]) -> float:
    """The loss of top-1 that the reference's own probabilities let expect, as a fraction.

    Where both give the same answer nothing is lost; elsewhere the difference of the two answers'
    probabilities. A drop counted on labels has a standard error of half a point on 800 photos,
    from photos on which the two are right in turn; this has a tenth of it, and needs no label.

    Args:
        reference: scores ``[n, classes]`` of the network that counts as true.
        logits: scores ``[n, classes]`` of the other one on the same photos.

    Returns:
        0 or more; NaN where n is 0 or a logit of the reference is not finite.

    Raises:
        UsageError: the shapes differ.
    """
    before, after = _paired(reference, logits)
    if before.size == 0 or not np.isfinite(before).all():
        return math.nan
    p = np.exp(_log_softmax(before.astype(np.float64)))
    photos = np.arange(len(p))
    return float((p.max(axis=1) - p[photos, after.argmax(axis=1)]).mean())


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def paired_drop(
    reference_correct: NDArray[np.bool_], correct: NDArray[np.bool_]
) -> tuple[float, float]:
    """Loss of accuracy on the same photos, with its standard error.

    The variance is that of the difference of two dependent proportions,
    ``((p10 + p01) - (p10 - p01)²) / n``, where p10 is the fraction that only the reference got
    right and p01 the fraction that only the other one did (A. Agresti, "Categorical Data Analysis",
    2nd ed. 2002, section 10.1.1). It is far smaller than that of two separate samples.

    Args:
        reference_correct: ``bool[n]``, where the reference was right.
        correct: ``bool[n]``, where the other model was right on the same photos.

    Returns:
        The drop (positive: worse than the reference) and its standard error; NaN where n is 0.

    Raises:
        UsageError: the shapes differ.
    """
    before, after = _paired(reference_correct, correct)
    if before.size == 0:
        return math.nan, math.nan
    n = before.size
    lost, won = int(np.sum(before & ~after)), int(np.sum(~before & after))
    drop = (lost - won) / n
    return drop, math.sqrt(max(0.0, (lost + won) / n - drop * drop) / n)


def _paired(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise UsageError(
            f"results of shape {a.shape} and {b.shape} do not come from the same photos"
        )
    return a, b
