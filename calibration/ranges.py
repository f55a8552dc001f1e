"""From a histogram to the range that 8 bits cover. One function per method, one table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.calibration.affine import asymmetric
from edgekit.calibration.histogram import Histogram

Range = tuple[float, float]

#: Share of the values that the percentile method leaves outside, over both tails together.
PERCENTILE_OUTSIDE = 1e-4

#: Candidates per side and round of the MSE search.
CANDIDATES = 64


def min_max(histogram: Histogram) -> Range:
    """Everything that was seen."""
    return histogram.minimum, histogram.maximum


def percentile(histogram: Histogram) -> Range:
    """The central 99.99 %, the same share cut from each tail."""
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    low = int(np.searchsorted(share, PERCENTILE_OUTSIDE / 2))
    high = int(np.searchsorted(share, 1 - PERCENTILE_OUTSIDE / 2))
    centers = histogram.centers
    return (
        max(float(centers[low]), histogram.minimum),
        min(float(centers[min(high, len(centers) - 1)]), histogram.maximum),
    )


def mse(histogram: Histogram) -> Range:
    """The range with the least mean squared error of the quantized values.

    Alternates between the two ends, each on a grid between zero and the extreme seen: first
    the whole span, then round the best. The error is that of the rounded and clipped bin
    centres with the scale and zero point which the range would really get.
    """
    used = histogram.counts > 0
    values, counts = histogram.centers[used], histogram.counts[used]
    low, high = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    grid = np.arange(1, CANDIDATES + 1) / CANDIDATES
    for step in (1.0, 1.0, 1 / 16):
        if high > 0:
            highs = high * (grid if step == 1.0 else 1 + step * (grid - 0.5))
            high = _least(values, counts, np.full(CANDIDATES, low), highs, highs)
        if low < 0:
            lows = low * (grid if step == 1.0 else 1 + step * (grid - 0.5))
            low = _least(values, counts, lows, np.full(CANDIDATES, high), lows)
    return low, high


def _least(
    values: NDArray[np.float64],
    counts: NDArray[np.float64],
    lows: NDArray[np.float64],
    highs: NDArray[np.float64],
    candidates: NDArray[np.float64],
) -> float:
    """Returns the candidate whose range has the least weighted squared error."""
    scale, zero_point = asymmetric(lows, highs)
    scaled = values / scale[:, None]
    integers = np.clip(np.rint(scaled) + zero_point[:, None], -128, 127) - zero_point[:, None]
    errors = ((integers - scaled) ** 2 @ counts) * scale**2
    return float(candidates[int(np.argmin(errors))])


METHODS: dict[str, Callable[[Histogram], Range]] = {
    "mse": mse,
    "percentile": percentile,
    "minmax": min_max,
}
