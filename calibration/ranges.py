"""From a histogram to the range that 8 bits cover. One function per method, one table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgekit.calibration.histogram import BINS, Histogram
from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.quantization import INT8_MAX, INT8_MIN, Reals, asymmetric

Range = tuple[float, float]
#: The cost of each candidate range: lows [n], highs [n] -> [n].
Objective = Callable[[Reals, Reals], Reals]

#: Share of the values that the percentile method leaves outside, over both tails together.
PERCENTILE_OUTSIDE = 1e-4

#: Weight of the past in the moving average of the batches' extremes. Calibration has some ten
#: batches, so the 0.99 that is usual in training would keep the first one's.
MOVING_AVERAGE_DECAY = 0.9

#: The balanced method: the exponent of a value's magnitude in the weight of its squared error,
#: and how often the squared mean error counts, as the next layer sums that many values. Chosen
#: on EfficientNetV2-B0, where any from -1/2 and 100 to -1/4 and 30 are far better than 0 and 0.
SMALL_VALUES, MEAN_ERROR = -1 / 3, 100.0

#: Instead of a method: for each tensor the one with the least expected squared error.
AUTO = "auto"

#: Candidates per side and round of a search.
CANDIDATES = 64


def min_max(histogram: Histogram) -> Range:
    """Everything that was seen."""
    return histogram.minimum, histogram.maximum


def moving_average(histogram: Histogram) -> Range:
    """The exponential moving average of each batch's extremes, in the order of the batches."""
    average = np.array(histogram.batches[0])
    for extremes in histogram.batches[1:]:
        average += (1 - MOVING_AVERAGE_DECAY) * (np.array(extremes) - average)
    return float(average[0]), float(average[1])


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
    """The range with the least mean squared error of the quantized values."""
    return _search(histogram, Error(histogram))


def important(histogram: Histogram) -> Range:
    """The range with the least mean squared error of values weighed by their importance.

    Where that is not known, all weigh the same.
    """
    return mse(_weighed(histogram))


def _weighed(histogram: Histogram) -> Histogram:
    """The histogram with importance for counts, where that is known."""
    weights = histogram.importance
    if weights is None or not weights.any():
        return histogram
    return replace(histogram, counts=weights)


def balanced(histogram: Histogram) -> Range:
    """The least squared error, with small values counting more, and a mean error of zero.

    Plain squared error favours ranges that hold a heavy tail. But channels of large values meet
    small weights, and what the tail's coarse grid does to the many small values has one sign:
    the sums of the next layer collect it, where errors of both signs cancel.
    """
    plain, weighted = Error(histogram), Error(histogram, exponent=SMALL_VALUES)

    def cost(lows: Reals, highs: Reals) -> Reals:
        bias = plain.bias(lows, highs) ** 2 / max(plain.power, 1e-300)
        result: Reals = weighted(lows, highs) / max(weighted.power, 1e-300) + MEAN_ERROR * bias
        return result

    return _search(histogram, cost)


def entropy(histogram: Histogram) -> Range:
    """The range that changes the distribution least, by Kullback-Leibler divergence."""
    return _search(histogram, Divergence(histogram))


def _search(histogram: Histogram, objective: Objective) -> Range:
    """The range of the least cost.

    Alternates between the two ends, each on a grid between zero and the extreme seen: first
    the whole span, then round the best.
    """
    low, high = min(histogram.minimum, 0.0), max(histogram.maximum, 0.0)
    grid = np.arange(1, CANDIDATES + 1) / CANDIDATES
    for step in (1.0, 1.0, 1 / 16):
        factors = grid if step == 1.0 else 1 + step * (grid - 0.5)
        if high > 0:
            highs = np.minimum(high * factors, histogram.maximum)
            high = float(highs[np.argmin(objective(np.full(CANDIDATES, low), highs))])
        if low < 0:
            lows = np.maximum(low * factors, histogram.minimum)
            low = float(lows[np.argmin(objective(lows, np.full(CANDIDATES, high)))])
    return low, high


class Error:
    """The mean squared error of quantizing a tensor, for many ranges at once.

    Between two neighbouring cell borders all values become one real number r, so their squared
    error is ``s2 - 2 r s1 + r² s0`` with the sums of the values' powers: cumulative sums over
    the bins give these for every range without a pass over the bins.

    Args:
        histogram: of the tensor; values are taken as uniform within a bin.
        exponent: of a value's magnitude in its weight; 0 weighs all alike.
    """

    def __init__(self, histogram: Histogram, exponent: float = 0.0) -> None:
        self.low = histogram.low
        self.width = (histogram.high - histogram.low) / BINS
        centers, counts = histogram.centers, histogram.counts
        if exponent:
            largest = max(abs(histogram.minimum), abs(histogram.maximum), 1e-300)
            counts = counts * (np.abs(centers) / largest + 1e-3) ** exponent
        share = counts / counts.sum()
        powers = [share, share * centers, share * (centers**2 + self.width**2 / 12)]
        self.sums = np.concatenate([np.zeros((3, 1)), np.cumsum(powers, axis=1)], axis=1)
        self.slopes = np.diff(self.sums, axis=1)

    @property
    def power(self) -> float:
        """The mean square of the values."""
        return float(self.sums[2, -1])

    def __call__(self, lows: Reals, highs: Reals) -> Reals:
        """Errors of the ranges, float64 [n], with the grids that they would really get."""
        levels, (s0, s1, s2) = self._cell_sums(lows, highs)
        errors: Reals = (s2 + levels * (levels * s0 - 2 * s1)).sum(1)
        return np.maximum(errors, 0.0)

    def bias(self, lows: Reals, highs: Reals) -> Reals:
        """The mean of the quantized values less that of the values, float64 [n]."""
        levels, (s0, s1, _) = self._cell_sums(lows, highs)
        result: Reals = (levels * s0 - s1).sum(1)
        return result

    def _cell_sums(self, lows: Reals, highs: Reals) -> tuple[Reals, Reals]:
        """The real number of each cell, [n, 256], and the sums of powers in it, [3, n, 256]."""
        levels, borders = _cells(lows, highs)
        borders[:, 0], borders[:, -1] = -np.inf, np.inf
        at = np.clip((borders - self.low) / self.width, 0, BINS)
        whole = np.minimum(at.astype(np.int64), BINS - 1)
        part = at - whole
        below = np.empty((3, *at.shape))
        # Row by row: indexing all three at once takes twice as long.
        for row, sums, slopes in zip(below, self.sums, self.slopes, strict=True):
            np.multiply(slopes.take(whole), part, out=row)
            row += sums.take(whole)
        return levels, below[..., 1:] - below[..., :-1]


class Divergence:
    """KL(P ‖ Q) of a tensor's clipped distribution P and what its 256 levels keep of it, Q.

    After S. Migacz, "8-bit inference with TensorRT" (GTC 2017): values outside the range count
    in its outermost bin, and Q spreads each level's mass over the bins in its cell that are not
    empty. Two changes. The range has two ends. And the values of exactly zero and at the
    extremes, which a ReLU and a ReLU6 pile up, are points that the grid represents as such: no
    level spreads them. Spread, such a pile costs so much that the narrowest range wins, whatever
    it clips.

    Args:
        histogram: of the tensor.
    """

    def __init__(self, histogram: Histogram) -> None:
        self.low = histogram.low
        self.width = (histogram.high - histogram.low) / BINS
        share = histogram.counts / histogram.counts.sum()
        self.least = 0.5 / histogram.counts.sum()
        self.total = np.concatenate([[0.0], np.cumsum(share)])
        self.spread = share.copy()
        for point in (0.0, histogram.minimum, histogram.maximum):
            bin_ = math.floor((point - self.low) / self.width)
            if 0 <= bin_ < BINS:
                self.spread[bin_] = 0
        filled = self.spread > 0
        logs = np.log(self.spread, where=filled, out=np.zeros(BINS))
        columns = [self.spread, filled, self.spread * logs]
        self.sums = np.concatenate([np.zeros((3, 1)), np.cumsum(columns, axis=1)], axis=1)

    def __call__(self, lows: Reals, highs: Reals) -> Reals:
        """Divergences of the ranges in nats, float64 [n]."""
        _, borders = _cells(lows, highs)
        at = np.clip(np.rint((borders - self.low) / self.width), 0, BINS).astype(np.int64)
        mass, filled, p_log_p = np.diff(self.sums.take(at, axis=1), axis=-1)
        mean = mass / np.maximum(filled, 1)  # of Q in a cell's bins, before it is normalised
        logs = np.log(mean, where=mean > 0, out=np.zeros(mean.shape))
        inside = np.maximum(self.total[at[:, -1]] - self.total[at[:, 0]], self.least)
        result = (p_log_p - mass * logs).sum(1) + inside * np.log(inside)
        for edge, cell, outside in (
            (at[:, 0], 0, self.total[at[:, 0]]),
            (at[:, -1] - 1, -1, 1 - self.total[at[:, -1]]),
        ):
            held = self.spread[np.clip(edge, 0, BINS - 1)]
            q = np.maximum(mean[:, cell] / inside, self.least)
            with_all = held + np.maximum(outside, 0.0)
            result += _p_log(with_all, q) - _p_log(held, q)
        divergences: Reals = result
        return divergences


def _p_log(p: Reals, q: Reals) -> Reals:
    """``p log(p / q)``, 0 where p is 0."""
    result: Reals = p * np.log(np.where(p > 0, p, q) / q)
    return result


def _cells(lows: Reals, highs: Reals) -> tuple[Reals, Reals]:
    """The real numbers that 8 bits stand for, [n, 256], and their cells' borders, [n, 257]."""
    scale, zero_point = asymmetric(lows, highs)
    integers = np.arange(INT8_MIN, INT8_MAX + 2) - zero_point[:, None]
    return scale[:, None] * integers[:, :-1], scale[:, None] * (integers - 0.5)


def sqnr_db(power: float, error: float) -> float:
    """Signal to quantization noise in decibels, at most 200, which no 8 bits reach."""
    return 10 * math.log10(max(power, 1e-300) / max(error, power * 1e-20, 1e-300))


def clipped_share(histogram: Histogram, low: float, high: float) -> float:
    """Share of the values more than half a step outside the range, to a bin."""
    _, borders = _cells(np.array([low]), np.array([high]))
    centers = histogram.centers
    outside = (centers < borders[0, 0]) | (centers > borders[0, -1])
    return float(histogram.counts[outside].sum() / histogram.counts.sum())


#: The method whose histograms are weighed first.
IMPORTANCE = "importance"

METHODS: dict[str, Callable[[Histogram], Range]] = {
    IMPORTANCE: important,
    "balanced": balanced,
    "mse": mse,
    "percentile": percentile,
    "minmax": min_max,
    "moving-average": moving_average,
    "entropy": entropy,
}


@dataclass(frozen=True)
class Choice:
    """A tensor's range, and why it is that.

    Attributes:
        low: lower end.
        high: upper end.
        method: of `METHODS`, or ``fixed`` where the scheme prescribes the range.
        why: in a few words.
        sqnr_db: expected signal to quantization noise in decibels, from the histogram; values and
            errors count by their importance where the range was chosen so.
        clipped: share of the values more than half a step outside the range.
    """

    low: float
    high: float
    method: str
    why: str
    sqnr_db: float | None = None
    clipped: float | None = None


def check_method(method: str) -> None:
    """Makes sure that a method exists.

    Raises:
        UsageError: it does not.
    """
    known = (*METHODS, AUTO)
    if method not in known:
        raise UsageError(f"unknown range method '{method}'", hint=did_you_mean(method, known))


def choose(histogram: Histogram, method: str, *, to_maximum: bool = False) -> Choice:
    """Applies a method, or with ``auto`` the one with the least expected squared error.

    Args:
        histogram: of the tensor.
        method: of `METHODS`, or ``auto``.
        to_maximum: whether the range goes up to the largest value, whatever the method cuts off.

    Raises:
        UsageError: no such method.
    """
    check_method(method)
    error = Error(_weighed(histogram) if method == IMPORTANCE else histogram)
    tried = [name for name in METHODS if name != IMPORTANCE] if method == AUTO else [method]
    ranges = {name: METHODS[name](histogram) for name in tried}
    if to_maximum:
        ranges = {name: (low, histogram.maximum) for name, (low, _) in ranges.items()}
    ends = np.array(list(ranges.values()), np.float64)
    errors = dict(zip(ranges, error(ends[:, 0], ends[:, 1]).tolist(), strict=True))
    best = min(errors, key=lambda name: errors[name])
    low, high = ranges[best]
    why = f"least error of {len(tried)} methods" if method == AUTO else "as asked"
    return Choice(
        low,
        high,
        best,
        why + ", and up to the largest value" * to_maximum,
        sqnr_db(error.power, errors[best]),
        clipped_share(histogram, low, high),
    )
