"""Weighted histograms count what matters to the answer, and nothing that does not."""

import numpy as np
import pytest

from edgekit.calibration.histogram import Histogram
from edgekit.calibration.importance import weigh
from edgekit.calibration.quantize import collect, fixed_ranges
from edgekit.calibration.ranges import mse
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
        assert histogram.maximum == plain[name].maximum
        assert np.isfinite(histogram.counts).all()
        assert histogram.counts.sum() > 0
    again = weigh(graph, plain, [inputs[:3], inputs[3:]])
    assert all(np.array_equal(again[n].counts, weighed[n].counts) for n in weighed)


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
    assert mse(weighed["conv"])[1] < 2


def test_a_tensor_without_a_gradient_keeps_its_counts():
    graph = prepare(build_graph(SPECS["lite0"], classes=4, resolution=32, seed=1))
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    counts = np.ones(8192)
    plain = {"elsewhere": Histogram(0.0, 1.0, counts, 0.0, 1.0)}
    assert weigh(graph, plain, [inputs])["elsewhere"].counts is counts
