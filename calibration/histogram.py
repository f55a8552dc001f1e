"""A streaming histogram of one tensor: what calibration keeps instead of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.calibration.sampling import Sampler, by_photo, count
from edgekit.system.paths import StrPath

#: Bins over the range seen. At int8 a full-range quantum is 32 to 64 bins wide, so the search
#: for a range may take each bin for its centre.
BINS = 8192

#: Values a photo gives to a tensor's histogram; extremes are taken from all values.
SAMPLES_PER_PHOTO = 4096


@dataclass
class Histogram:
    """Counts over ``BINS`` equal bins from ``low`` to ``high``, beside the exact extremes.

    A value beyond the present bins doubles their width and merges them in pairs, so that
    counts stay exact to a bin.

    Attributes:
        low: lower edge of the first bin.
        high: upper edge of the last bin.
        counts: float64 [BINS].
        minimum: smallest value seen.
        maximum: largest value seen.
        batches: the extremes of each batch, in order.
        importance: of the values in each bin, float64 [BINS]: what errors in them would cost
            (`edgekit.calibration.importance.weigh`); None where that is not known.
    """

    low: float
    high: float
    counts: NDArray[np.float64]
    minimum: float = np.inf
    maximum: float = -np.inf
    batches: list[tuple[float, float]] = field(default_factory=list)
    importance: NDArray[np.float64] | None = None

    @classmethod
    def starting(cls, minimum: float, maximum: float) -> Histogram:
        """An empty histogram that spans ``[minimum, maximum]`` and has some width."""
        width = max(maximum - minimum, 1e-6 * max(abs(minimum), abs(maximum)), 1e-12)
        return cls(minimum, minimum + width * (1 + 1e-6), np.zeros(BINS))

    @property
    def centers(self) -> NDArray[np.float64]:
        """The middle of each bin, float64 [BINS]."""
        width = (self.high - self.low) / BINS
        return self.low + width * (np.arange(BINS, dtype=np.float64) + 0.5)

    def cover(self, minimum: float, maximum: float) -> None:
        """Widens the bins until ``[minimum, maximum]`` lies within them."""
        while minimum < self.low or maximum > self.high:
            width = self.high - self.low
            merged = self.counts.reshape(-1, 2).sum(1)
            rest = np.zeros(BINS // 2)
            if minimum < self.low:
                self.low -= width
                self.counts = np.concatenate([rest, merged])
            else:
                self.high += width
                self.counts = np.concatenate([merged, rest])


class HistogramTap:
    """Collects a histogram of every tensor that passes; a `Tap` for `Network.forward`.

    Args:
        skip: tensors whose range needs no data.
    """

    def __init__(self, skip: frozenset[str] = frozenset()) -> None:
        self.skip = skip
        self.sample = Sampler(SAMPLES_PER_PHOTO, torch.Generator().manual_seed(0))
        self.histograms: dict[str, Histogram] = {}

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        """Adds the values of a float tensor [n, …]; returns it unchanged."""
        if name not in self.skip:
            self._add(name, tensor)
        return tensor

    def _add(self, name: str, tensor: Tensor) -> None:
        photos = by_photo(tensor)
        # Flat: over a view in another order of axes, aminmax is 20 times slower.
        minimum, maximum = (float(value) for value in photos.reshape(-1).aminmax())
        if not np.isfinite([minimum, maximum]).all():
            raise FloatingPointError(name)
        histogram = self.histograms.setdefault(name, Histogram.starting(minimum, maximum))
        histogram.cover(minimum, maximum)
        histogram.batches.append((minimum, maximum))
        histogram.minimum = min(histogram.minimum, minimum)
        histogram.maximum = max(histogram.maximum, maximum)
        histogram.counts += count(self.sample(photos), histogram.low, histogram.high, BINS)


def save_histograms(histograms: Mapping[str, Histogram], path: StrPath) -> None:
    """Writes histograms as one compressed .npz."""
    path = Path(path)
    edges = [[h.low, h.high, h.minimum, h.maximum] for h in histograms.values()]
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array(list(histograms)),
            edges=np.array(edges, np.float64),
            counts=np.array([h.counts for h in histograms.values()]),
            # A tensor is in every batch, so the record is rectangular.
            batches=np.array([h.batches for h in histograms.values()], np.float64),
        )


def load_histograms(path: StrPath) -> dict[str, Histogram]:
    """Reads what `save_histograms` wrote."""
    path = Path(path)
    with np.load(path, allow_pickle=False) as stored:
        names, edges, counts = stored["names"], stored["edges"].tolist(), stored["counts"]
        batches = [[(low, high) for low, high in one] for one in stored["batches"].tolist()]
    return {
        str(name): Histogram(low, high, count, minimum, maximum, extremes)
        for name, (low, high, minimum, maximum), count, extremes in zip(
            names, edges, counts, batches, strict=True
        )
    }
