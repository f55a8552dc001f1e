"""What a deployed classifier answers, beside what it answered for its validation photos.

No label is known there. What can be seen is how sure answers are, how their energy lies, and how
often each class is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.system.extras import import_optional
from edgekit.tasks.classification.metrics import softmax
from edgekit.tasks.drift import Change, Drift

#: Fewer answers say nothing.
LEAST = 30


def find_drift(before: NDArray[Any], now: NDArray[Any], labels: Sequence[str]) -> Drift:
    """Compares answers.

    Args:
        before: logits [n, classes] for the validation photos.
        now: logits [m, classes] of the log.
        labels: names of the classes.

    Raises:
        UsageError: there are too few answers, or they are of other classes.
        MissingToolError: scipy is not installed.
    """
    if before.shape[1:] != now.shape[1:] or before.shape[1] != len(labels):
        raise UsageError(
            f"answers of {now.shape[1]} classes are not those of a network of {before.shape[1]}",
            hint="the run whose model was deployed",
        )
    if min(len(before), len(now)) < LEAST:
        raise UsageError(
            f"{min(len(before), len(now))} answers say nothing", hint=f"at least {LEAST}"
        )
    stats = import_optional("scipy.stats", "drift", "comparing answers")
    found: list[tuple[str, float | None, float | None, float, float]] = []
    for name, values in (("confidence", confidence), ("energy", energy)):
        a, b = values(before), values(now)
        test = stats.ks_2samp(a, b)
        means = float(a.mean()), float(b.mean())
        found.append((name, *means, float(test.statistic), float(test.pvalue)))
    counts = [np.bincount(x.argmax(axis=1), minlength=len(labels)) for x in (before, now)]
    given = np.stack(counts)[:, sum(counts) > 0]
    p_value = float(stats.chi2_contingency(given).pvalue) if given.shape[1] > 1 else 1.0
    shares = [count / count.sum() for count in counts]
    distance = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    found.append(("class shares", None, None, distance, p_value))
    corrected = _holm([p for *_, p in found])
    changes = tuple(
        Change(name, old, new, float(distance), p)
        for (name, old, new, distance, _), p in zip(found, corrected, strict=True)
    )
    both = {label: (float(shares[0][k]), float(shares[1][k])) for k, label in enumerate(labels)}
    return Drift(len(now), len(before), changes, both)


def confidence(logits: NDArray[Any]) -> NDArray[np.float64]:
    """The probability of each answer, [n]."""
    found: NDArray[np.float64] = softmax(logits).max(axis=1)
    return found


def energy(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Minus the logarithm of the sum of the exponentials, [n]: higher for what is unlike training.

    Liu et al. 2020 (arXiv 2010.03759), equation 3.
    """
    scores = np.asarray(logits, np.float64)
    top = scores.max(axis=1)
    found: NDArray[np.float64] = -(top + np.log(np.exp(scores - top[:, None]).sum(axis=1)))
    return found


def _holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979): as if each test had been the only one."""
    order = np.argsort(p_values)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * float(p_values[place])))
        corrected[place] = largest
    return corrected
