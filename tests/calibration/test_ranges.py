"""Range methods against brute force and against what they promise."""

import numpy as np
import pytest
import torch

from edgekit.calibration.affine import asymmetric
from edgekit.calibration.histogram import SAMPLES_PER_PHOTO, HistogramTap
from edgekit.calibration.ranges import METHODS, min_max, mse, percentile
from edgekit.options import RANGE_METHODS


def histogram_of(values):
    tap = HistogramTap()
    tap("x", torch.as_tensor(values, dtype=torch.float32)[None])
    return tap.histograms["x"]


def error(values, low, high):
    scale, zero_point = asymmetric(low, high)
    q = np.clip(np.rint(values / scale) + zero_point, -128, 127)
    return float((((q - zero_point) * scale - values) ** 2).mean())


def distributions():
    rng = np.random.default_rng(0)
    normal = rng.normal(0, 1, 16000)
    return {
        "normal": normal,
        "swish": normal * 3 / (1 + np.exp(-normal * 3)),
        "heavy tail": np.concatenate([normal[:15990], rng.uniform(30, 60, 10)]),
        "relu6": np.clip(normal * 3, 0, 6),
        "negative": -np.abs(normal),
        "exponential": rng.exponential(1, 16000),
    }


@pytest.mark.parametrize("name", distributions())
def test_mse_is_as_good_as_a_fine_brute_force_search(name):
    values = distributions()[name].astype(np.float32).astype(np.float64)
    low, high = mse(histogram_of(values))
    found = error(values, low, high)
    fractions = np.linspace(0.02, 1, 50)
    lows = min(values.min(), 0) * fractions
    highs = max(values.max(), 0) * fractions
    best = min(error(values, a, b) for a in lows for b in highs)
    assert found <= 1.05 * best
    assert found <= error(values, values.min(), values.max()) * 1.001


def test_mse_cuts_a_lone_outlier():
    # Among four million values, one at 60 costs less when it is clipped than a coarse grid does.
    values = np.random.default_rng(0).normal(0, 1, (256, SAMPLES_PER_PHOTO))
    values[3, 5] = 60.0
    tap = HistogramTap()
    tap("x", torch.from_numpy(values))
    low, high = mse(tap.histograms["x"])
    assert tap.histograms["x"].maximum == 60.0
    assert -8 < low < -3
    assert 3 < high < 8


def test_min_max_is_what_was_seen():
    values = np.array([-1.5, 0.2, 3.25])
    assert min_max(histogram_of(values)) == (-1.5, 3.25)


def test_percentile_leaves_the_promised_share_outside():
    values = np.random.default_rng(0).normal(0, 1, 16000)
    low, high = percentile(histogram_of(values))
    outside = ((values < low) | (values > high)).mean()
    assert outside <= 2e-4
    assert low < -3
    assert high > 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e6, 1e-20])
def test_constants_give_a_range_that_holds_them(method, value):
    low, high = METHODS[method](histogram_of(np.full(100, value)))
    assert np.isfinite([low, high]).all()
    scale, zero_point = asymmetric(low, high)
    q = np.clip(np.rint(value / scale) + zero_point, -128, 127)
    assert abs((q - zero_point) * scale - value) <= max(0.02 * abs(value), 1e-8)


def test_the_options_name_every_method():
    assert set(RANGE_METHODS) == set(METHODS)
