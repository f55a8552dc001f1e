"""Small networks with the pools of the Edge TPU target, quantized on random photos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.passes import prepare
from edgekit.targets.edgetpu.passes import pool_globally, split_large_means

SIDE, CLASSES, MEAN, STD = 64, 6, 127.0, 128.0
#: Of the mean over one map: only that of the first squeeze, 32x32, is larger.
LIMIT = 256
TINY = {"width": 0.1, "depth": 0.1, "mean": (MEAN,) * 3, "std": (STD,) * 3}
VARIANTS = {name: replace(SPECS[name], **TINY) for name in ("b0", "lite0", "es")}


def plain(name: str, resolution: int = SIDE) -> Graph:
    """A prepared network with means, and with biases other than zero."""
    graph = build_graph(VARIANTS[name], classes=CLASSES, resolution=resolution, seed=2)
    rng = np.random.default_rng(1)
    shifted = {
        key: array + rng.normal(0, 0.3, array.shape).astype(np.float32)
        for key, array in graph.weights.items()
        if key.endswith(("/beta", "/bias"))
    }
    return prepare(replace(graph, weights={**graph.weights, **shifted}))


def pooled(name: str) -> Graph:
    """The same network with every kind of pool that it can have."""
    return pool_globally(split_large_means(plain(name), LIMIT))


def pixels(count: int = 8, side: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def inputs(count: int = 8, side: int = SIDE) -> NDArray[np.float32]:
    return ((pixels(count, side) - MEAN) / STD).astype(np.float32)


def quantized(graph: Graph, method: str = "mse") -> Graph:
    fixed = fixed_ranges(graph, MEAN, STD)
    histograms = collect(graph, [inputs()], skip=fixed)
    return quantize(graph, choose_ranges(histograms, method) | fixed)
