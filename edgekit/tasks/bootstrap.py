"""How a figure varies with the photos that it is of: by sets drawn from them with replacement.

(B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979) 1-26.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Sets that are drawn (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13:
#: a thousand for the ends of an interval), and the seed of all of them.
RESAMPLES, SEED = 1000, 0


def draw_sets(photos: int, count: int = RESAMPLES) -> NDArray[np.float64]:
    """How often each of so many sets has each photo, float64 [count, photos]; always the same."""
    rng = np.random.default_rng((SEED, photos))
    share = np.full(max(photos, 1), 1 / max(photos, 1))
    return rng.multinomial(photos, share, count)[:, :photos].astype(np.float64)


def interval(values: NDArray[np.float64]) -> list[float]:
    """Where 95 % of resampled values are: [low, high]; the percentile interval."""
    known = values[np.isfinite(values)]
    if not known.size:
        return [math.nan, math.nan]
    low, high = np.percentile(known, [2.5, 97.5])
    return [float(low), float(high)]


def deviation(values: NDArray[np.float64]) -> float:
    """The standard error of a figure, from its resampled values."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if known.size > 1 else math.nan
