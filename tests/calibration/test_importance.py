"""Weighted histograms count what matters to the answer, and nothing that does not."""

from dataclasses import replace

import numpy as np
import pytest

from edgekit.calibration.histogram import Histogram
from edgekit.calibration.importance import batch_for, weigh
from edgekit.calibration.quantize import collect, fixed_ranges
from edgekit.calibration.ranges import Error, choose, important, mse, sqnr_db
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Conv2D, FullyConnected, Mean
from edgekit.networks.passes import prepare


def test_bins_and_extremes_stay_and_every_tensor_counts():
    graph = prepare(build_graph(SPECS["b0"], classes=4, resolution=32, seed=1))
    inputs = np.random.default_rng(0).uniform(-1, 1, (6, 32, 32, 3)).astype(np.float32)
    plain = collect(graph, [inputs], skip=fixed_ranges(graph, 0, 255))
    weighed = weigh(graph, plain, [inputs[:3], inputs[3:]])
    assert weighed.keys() == plain.keys()
    for name, histogram in weighed.items():
        assert (histogram.low, histogram.high) == (plain[name].low, plain[name].high)
        assert histogram.counts is plain[name].counts
        assert np.isfinite(histogram.importance).all()
        assert histogram.importance.sum() > 0
    again = weigh(graph, plain, [inputs[:3], inputs[3:]])
    assert all(np.array_equal(again[n].importance, weighed[n].importance) for n in weighed)


def test_a_channel_that_nobody_reads_has_no_weight():
    """Channel 0 has small values that the classifier reads, channel 1 large ones that it does not.

    A range for both serves the large one; weighed, it serves the one that counts.
    """
    nodes = (
        Conv2D(name="conv", inputs=("input",), filters=2),
        Mean(name="pool", inputs=("conv",), keep_dims=False),
        FullyConnected(name="logits", inputs=("pool",), units=2),
    )
    shapes = {"input": (4, 4, 1), "conv": (4, 4, 2), "pool": (2,), "logits": (2,)}
    weights = {
        "conv/kernel": np.array([[[[1.0, 50.0]]]], np.float32),
        "conv/bias": np.zeros(2, np.float32),
        "logits/kernel": np.array([[3.0, -3.0], [0.0, 0.0]], np.float32),
        "logits/bias": np.zeros(2, np.float32),
    }
    graph = Graph("two", "input", nodes, shapes, weights)
    inputs = np.random.default_rng(0).uniform(0, 1, (32, 4, 4, 1)).astype(np.float32)
    plain = collect(graph, [inputs])
    weighed = weigh(graph, plain, [inputs])
    assert mse(plain["conv"])[1] == pytest.approx(50, rel=0.1)
    assert important(weighed["conv"])[1] < 2
    # What such a range loses does not count either.
    weighed_plain = replace(weighed["conv"], importance=None)
    low, high = important(weighed["conv"])
    clipping = Error(weighed_plain)(np.array([low]), np.array([high]))[0]
    lost = sqnr_db(Error(weighed_plain).power, clipping)
    assert choose(weighed["conv"], "importance").sqnr_db > 35 > lost


def test_of_large_tensors_some_values_count_for_all():
    """A stretch of a photo gives a few neighbours, wherever in it."""
    nodes = (
        Mean(name="pool", inputs=("input",), keep_dims=False),
        FullyConnected(name="logits", inputs=("pool",), units=2),
    )
    shapes = {"input": (300, 300, 1), "pool": (1,), "logits": (2,)}
    weights = {
        "logits/kernel": np.array([[3.0, -3.0]], np.float32),
        "logits/bias": np.zeros(2, np.float32),
    }
    graph = Graph("large", "input", nodes, shapes, weights)
    inputs = np.linspace(0, 1, 2 * 300 * 300, dtype=np.float32).reshape(2, 300, 300, 1)
    weighed = weigh(graph, collect(graph, [inputs]), [inputs])["input"].importance
    # All have one gradient within a photo, and the values of a photo are spread evenly.
    halves = weighed[:4096], weighed[4096:]
    for half in halves:
        assert half.sum() == pytest.approx(half[half > 0].mean() * 4096, rel=0.01)
        assert half[half > 0].std() < half[half > 0].mean() / 2


def test_photos_of_large_networks_are_weighed_in_smaller_batches():
    small, large = (build_graph(SPECS[name], classes=4, seed=1) for name in ("lite0", "b5"))
    assert batch_for(small) == 8
    assert 1 <= batch_for(large) < 8


def test_a_tensor_without_a_gradient_has_no_importance():
    graph = prepare(build_graph(SPECS["lite0"], classes=4, resolution=32, seed=1))
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    counts = np.ones(8192)
    plain = {"elsewhere": Histogram(0.0, 1.0, counts, 0.0, 1.0)}
    weighed = weigh(graph, plain, [inputs])["elsewhere"]
    assert weighed.counts is counts
    assert weighed.importance is None
    assert important(weighed) == mse(weighed)
