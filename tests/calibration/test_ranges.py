"""Range methods against brute force and against what they promise."""

import itertools

import numpy as np
import pytest
import torch

from edgekit.calibration.histogram import SAMPLES_PER_PHOTO, HistogramTap
from edgekit.calibration.ranges import (
    AUTO,
    METHODS,
    Divergence,
    Error,
    choose,
    clipped_share,
    entropy,
    min_max,
    moving_average,
    mse,
    percentile,
)
from edgekit.networks.quantization import asymmetric
from edgekit.options.quantization import RANGE_METHODS


def histogram_of(values):
    tap = HistogramTap()
    tap("x", torch.as_tensor(values, dtype=torch.float32).reshape(-1, 1))  # all of them count
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
    values = np.random.default_rng(0).normal(0, 1, (1024, SAMPLES_PER_PHOTO))
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
    assert (*METHODS, AUTO) == RANGE_METHODS


@pytest.mark.parametrize("name", distributions())
def test_the_expected_error_is_that_of_the_values(name):
    values = distributions()[name].astype(np.float32).astype(np.float64)
    expected = Error(histogram_of(values))
    for low, high in ((values.min(), values.max()), (values.min() / 3, values.max() / 2)):
        found = expected(np.array([low]), np.array([high]))[0]
        assert found == pytest.approx(error(values, low, high), rel=0.02)
    assert expected.power == pytest.approx((values**2).mean(), rel=1e-3)


def test_a_moving_average_follows_the_batches():
    tap = HistogramTap()
    for low, high in ((-1.0, 1.0), (-1.0, 11.0), (-3.0, 1.0)):
        tap("x", torch.tensor([[low, high]]))
    low, high = moving_average(tap.histograms["x"])
    assert high == pytest.approx(0.9 * (0.9 * 1 + 0.1 * 11) + 0.1 * 1)
    assert low == pytest.approx(0.9 * -1 + 0.1 * -3)


@pytest.mark.parametrize("spike", [0.0, 0.3, 0.8, 0.97])
@pytest.mark.parametrize("ceiling", [0.0, 0.05, 0.5])
def test_entropy_does_not_collapse_on_relu6(spike, ceiling):
    # Published: 31 % top-1 with KL ranges on a ReLU6 network whose other ranges lose 0.3 points.
    rng = np.random.default_rng(0)
    values = rng.exponential(1.2, 200_000).clip(0, 6).astype(np.float32)
    values[: int(spike * len(values))] = 0
    values[len(values) - int(ceiling * (1 - spike) * len(values)) :] = 6
    tap = HistogramTap()
    tap("x", torch.from_numpy(values.reshape(20, -1)))
    low, high = entropy(tap.histograms["x"])
    assert low == 0
    assert 5.9 < high <= 6
    best = error(values, *mse(tap.histograms["x"]))
    assert error(values, low, high) < 5 * best


def test_entropy_cuts_a_far_tail_and_keeps_both_sides():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (64, SAMPLES_PER_PHOTO))
    values[0, 0], values[1, 0] = 50.0, -20.0
    tap = HistogramTap()
    tap("x", torch.from_numpy(values))
    low, high = entropy(tap.histograms["x"])
    assert -8 < low < -2.5
    assert 2.5 < high < 8


def test_divergence_against_its_definition():
    values = np.random.default_rng(0).exponential(1, 16000)
    histogram = histogram_of(values)
    low, high = np.array([0.0]), np.array([2.5])
    p = histogram.counts / histogram.counts.sum()
    width = (histogram.high - histogram.low) / len(p)
    scale = 2.5 / 255
    borders = (scale * (np.arange(257) - 0.5) - histogram.low) / width
    edges = np.clip(np.rint(borders), 0, len(p)).astype(int)
    spread = p.copy()
    for point in (0.0, histogram.minimum, histogram.maximum):
        at = int(np.floor((point - histogram.low) / width))
        if 0 <= at < len(p):
            spread[at] = 0
    q = p - spread
    for begin, end in itertools.pairwise(edges):
        filled = np.flatnonzero(spread[begin:end] > 0) + begin
        q[filled] = spread[filled].sum() / max(len(filled), 1)
    q[: edges[0]] = q[edges[-1] :] = 0
    q /= p[edges[0] : edges[-1]].sum()
    clipped = p.copy()
    clipped[edges[-1] - 1] += p[edges[-1] :].sum()
    clipped[edges[-1] :] = 0
    held = clipped > 0
    expected = (clipped[held] * np.log(clipped[held] / np.maximum(q[held], 0.5 / 16000))).sum()
    assert Divergence(histogram)(low, high)[0] == pytest.approx(expected, rel=0.05)


def test_a_choice_says_what_it_expects():
    values = np.random.default_rng(0).normal(0, 1, SAMPLES_PER_PHOTO).astype(np.float32)
    histogram = histogram_of(values)
    choice = choose(histogram, "mse")
    power = (values.astype(np.float64) ** 2).mean()
    sqnr = 10 * np.log10(power / error(values.astype(np.float64), choice.low, choice.high))
    assert (choice.method, choice.why) == ("mse", "as asked")
    assert choice.sqnr_db == pytest.approx(sqnr, abs=0.1)
    assert choice.clipped == clipped_share(histogram, choice.low, choice.high)
    # A clip at one standard deviation leaves 31.7 % of a normal distribution outside.
    assert clipped_share(histogram, -1, 1) == pytest.approx(0.317, abs=0.01)
    assert clipped_share(histogram, -9, 9) == 0


@pytest.mark.parametrize("name", distributions())
def test_auto_takes_the_least_expected_error(name):
    histogram = histogram_of(distributions()[name])
    choice = choose(histogram, AUTO)
    assert choice.why == "least error of 6 methods"
    for method in METHODS:
        assert choice.sqnr_db >= choose(histogram, method).sqnr_db


def test_balanced_lets_no_tail_bias_the_small_values():
    # As after a swish: most values just below zero, and a few channels of large ones.
    rng = np.random.default_rng(0)
    values = rng.normal(-1, 1, (200, SAMPLES_PER_PHOTO))
    values[:, :30] *= 40
    values /= 1 + np.exp(-values)
    tap = HistogramTap()
    tap("x", torch.from_numpy(values))
    histogram = tap.histograms["x"]
    bias = {
        name: abs(Error(histogram).bias(*(np.array([end]) for end in METHODS[name](histogram)))[0])
        for name in ("balanced", "mse", "minmax")
    }
    assert bias["balanced"] < 0.5 * bias["mse"]
    assert bias["balanced"] < 0.5 * bias["minmax"]


def test_a_range_that_holds_the_largest_values_does_whatever_the_method():
    rng = np.random.default_rng(0)
    rare = np.concatenate([rng.normal(-6, 1, 400_000), [2.0]])
    histogram = histogram_of(rare)
    plain, whole = (choose(histogram, "mse", to_maximum=to) for to in (False, True))
    assert plain.high < 1.5
    assert whole.high == pytest.approx(2.0)
    assert whole.low == plain.low
    assert whole.why == "as asked, and up to the largest value"
    assert choose(histogram, AUTO, to_maximum=True).high == pytest.approx(2.0)
