"""A sample is spread evenly, and counts are those of a plain histogram."""

import numpy as np
import pytest
import torch

from edgekit.calibration.sampling import RUN, Sampler, by_photo, count

MOST = 256


def sampler():
    return Sampler(MOST, torch.Generator().manual_seed(5))


def test_small_tensors_are_taken_whole():
    photos = torch.arange(2.0 * MOST).view(2, MOST)
    torch.testing.assert_close(sampler()(photos), photos.flatten())


@pytest.mark.parametrize("length", [100 * MOST, 100 * MOST + RUN // 2, 3 * MOST + 5])
def test_of_each_stretch_a_run_of_neighbours_is_taken(length):
    photos = torch.arange(2.0 * length).view(2, length)
    one, other = sampler()(photos).view(2, MOST // RUN, RUN)
    torch.testing.assert_close(other, one + length)  # the same places of each photo
    torch.testing.assert_close(one, one[:, :1] + torch.arange(RUN))
    stretch = length // RUN / (MOST // RUN)
    assert ((one[:, 0] / RUN / stretch).long() == torch.arange(MOST // RUN)).all()


def test_tensors_of_one_length_give_the_same_places():
    sample = sampler()
    values = torch.randn(1, 10 * MOST)
    first = sample(values)
    sample(torch.randn(1, 11 * MOST))
    assert torch.equal(sample(values), first)


def test_photos_are_rows_whatever_the_memory():
    maps = torch.randn(2, 3, 4, 5)
    wanted = maps.permute(0, 2, 3, 1).flatten(1)
    assert torch.equal(by_photo(maps), wanted)
    assert torch.equal(by_photo(maps.to(memory_format=torch.channels_last)), wanted)


def test_counts_are_those_of_a_histogram():
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    weights = np.random.default_rng(1).uniform(size=10_000).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    for weight in (None, weights):
        expected, _ = np.histogram(values, 64, (low, high), weights=weight)
        found = count(
            torch.from_numpy(values),
            low,
            high,
            64,
            None if weight is None else torch.tensor(weight),
        )
        assert found.dtype == np.float64
        np.testing.assert_allclose(np.cumsum(found), np.cumsum(expected), atol=3)
        assert found.sum() == pytest.approx(expected.sum(), rel=1e-6)
