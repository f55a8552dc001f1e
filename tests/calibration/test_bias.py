"""Bias correction takes out the mean error, and is not led astray by errors that do not count."""

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.bias import correct_biases
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, FullyConnected, Mean
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import Network

SIZE, CLASSES = 32, 6
INPUTS = np.random.default_rng(0).uniform(-1, 1, (24, SIZE, SIZE, 3)).astype(np.float32)
BATCH = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)


def quantized(graph, cut=1.0):
    fixed = fixed_ranges(graph, 127, 128)
    ranges = choose_ranges(collect(graph, [INPUTS], skip=fixed), "mse")
    ranges = {name: (low * cut, high * cut) for name, (low, high) in ranges.items()}
    return quantize(graph, {**ranges, **fixed})


def mean_error(graph, other, tensor):
    """How far a tensor is off on the mean, per channel, over its spread; before it is rounded."""
    wanted, found = {}, {}
    simulation = Simulation(other).eval()
    with torch.inference_mode():
        Network(graph).eval().run(BATCH, lambda name, y: wanted.setdefault(name, y))
        simulation.network.run(
            BATCH, lambda name, y: simulation.round(name, found.setdefault(name, y))
        )
    y, z = wanted[tensor], found[tensor]
    axes = [axis for axis in range(y.dim()) if axis != 1]
    return float((z - y).mean(axes).abs().mean() / y.std())


@pytest.mark.parametrize(
    "name",
    ["lite0", *(pytest.param(name, marks=pytest.mark.slow) for name in ("b0", "es", "v2-b0"))],
)
def test_the_mean_error_is_taken_out(name):
    graph = prepare(build_graph(narrow(name), classes=CLASSES, resolution=SIZE, seed=2))
    bare = quantized(graph, cut=0.6)  # every tensor is clipped, so that its mean is off
    corrected = correct_biases(graph, bare, INPUTS)
    # No activation reads these: their mean error is gone, but for the rounding of what follows.
    for tensor in ("block2a_project", "block3a_project", "logits"):
        before, after = (mean_error(graph, other, tensor) for other in (bare, corrected))
        assert after < 0.3 * before


def test_nothing_but_biases_changes():
    graph = prepare(build_graph(narrow("lite0"), classes=CLASSES, resolution=SIZE, seed=2))
    bare = quantized(graph)
    corrected = correct_biases(graph, bare, INPUTS)
    assert corrected.quant == bare.quant
    for name, array in bare.weights.items():
        same = np.array_equal(corrected.weights[name], array)
        assert same == (not name.endswith("/bias"))
        assert np.isfinite(corrected.weights[name]).all()


def gated(values):
    """A fully connected layer of one input, read by a sigmoid: the gate of a squeeze-excite."""
    shapes = {"input": (1, 1, 1), "pool": (1,), "gate": (1,), "gate_sigmoid": (1,)}
    nodes = (
        Mean(name="pool", inputs=("input",), keep_dims=False),
        FullyConnected(name="gate", inputs=("pool",), units=1),
        Activation(name="gate_sigmoid", inputs=("gate",), kind="sigmoid"),
    )
    weights = {
        "gate/kernel": np.array([[1.0]], np.float32),
        "gate/bias": np.zeros(1, np.float32),
    }
    return Graph("gate", "input", nodes, shapes, weights)


def test_errors_far_out_on_a_sigmoid_do_not_count():
    """Half of the values are clipped at -20 where they are -60: the sigmoid is 0 for both."""
    values = np.concatenate([np.full(50, -60.0), np.linspace(-2, 2, 50)]).astype(np.float32)
    graph = gated(values)
    ranges = {"input": (-20.0, 20.0), "pool": (-20.0, 20.0), "gate": (-20.0, 20.0)}
    bare = quantize(graph, {**ranges, "gate_sigmoid": (0.0, 255 / 256)})
    corrected = correct_biases(graph, bare, values.reshape(-1, 1, 1, 1))
    # A plain mean of the errors would be about 20.
    assert abs(corrected.weights["gate/bias"][0]) < 0.2
