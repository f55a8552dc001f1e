"""Histograms count every value once, however the range grows."""

import numpy as np
import pytest
import torch

from edgekit.calibration.histogram import (
    BINS,
    SAMPLES_PER_PHOTO,
    HistogramTap,
    load_histograms,
    save_histograms,
)


def collect(*batches):
    tap = HistogramTap()
    for batch in batches:
        tap("x", torch.as_tensor(batch, dtype=torch.float32))
    return tap.histograms["x"]


def test_counts_survive_growing_ranges():
    rng = np.random.default_rng(0)
    batches = [rng.normal(0, scale, (4, 100)) for scale in (0.1, 3.0, 0.5, 40.0)]
    histogram = collect(*batches)
    values = np.concatenate([b.ravel() for b in batches]).astype(np.float32)
    assert histogram.counts.sum() == values.size
    assert histogram.minimum == values.min()
    assert histogram.maximum == values.max()
    width = (histogram.high - histogram.low) / BINS
    direct, _ = np.histogram(values, BINS, (histogram.low, histogram.high))
    # A value at an edge may fall on either side of it; nothing moves further than a bin.
    moved = np.abs(np.cumsum(histogram.counts) - np.cumsum(direct))
    assert moved.max() <= 8
    assert width < 2.1 * (values.max() - values.min()) / BINS * 2


def test_a_constant_tensor_is_counted():
    histogram = collect(np.full((2, 5), 3.0), np.full((2, 5), 3.0))
    assert histogram.counts.sum() == 20
    assert (histogram.minimum, histogram.maximum) == (3.0, 3.0)


def test_large_tensors_are_sampled_but_their_extremes_are_not():
    batch = np.zeros((2, 3, 200, 200), np.float32)
    batch[1, 2, 77, 13] = 9.0
    histogram = collect(batch)
    assert histogram.counts.sum() == 2 * SAMPLES_PER_PHOTO
    assert histogram.maximum == 9.0


def test_a_sample_is_representative():
    batch = np.random.default_rng(1).normal(2, 1, (4, 8, 100, 100)).astype(np.float32)
    histogram = collect(batch)
    mean = (histogram.counts * histogram.centers).sum() / histogram.counts.sum()
    assert mean == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_is_named(value):
    with pytest.raises(FloatingPointError, match="x"):
        collect(np.array([[1.0, value]]))


def test_skipped_tensors_pass_unseen():
    tap = HistogramTap(frozenset({"x"}))
    tensor = torch.ones(3)
    assert tap("x", tensor) is tensor
    assert not tap.histograms


def test_a_file_keeps_histograms(tmp_path):
    histogram = collect(np.random.default_rng(0).normal(size=(3, 50)))
    save_histograms({"a/b": histogram}, tmp_path / "h.npz")
    (loaded,) = load_histograms(tmp_path / "h.npz").values()
    np.testing.assert_array_equal(loaded.counts, histogram.counts)
    assert (loaded.low, loaded.high) == (histogram.low, histogram.high)
    assert loaded.batches == histogram.batches == [(histogram.minimum, histogram.maximum)]
    assert (loaded.minimum, loaded.maximum) == (histogram.minimum, histogram.maximum)
