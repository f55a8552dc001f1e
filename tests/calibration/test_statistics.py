"""Means that batch normalizations remember, and biases that are corrected by them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.calibration.statistics import ACTIVATIONS, correct_biases, expected_means
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.graph import Graph
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import ACTIVATIONS as TORCH_ACTIVATIONS
from edgekit.networks.torch_network import Network
from edgekit.targets.edgetpu.passes import pool_globally, split_large_means

SIZE, CLASSES = 64, 6
INPUTS = np.random.default_rng(0).uniform(-1, 1, (16, SIZE, SIZE, 3)).astype(np.float32)
BATCH = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)


def measured(graph: Graph, network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Each tensor's mean per channel, before an integer network rounds it."""
    found: dict[str, np.ndarray] = {}

    def tap(name, y):
        found[name] = y.mean([axis for axis in range(y.dim()) if axis != 1]).numpy()
        return network.round(name, y) if isinstance(network, Simulation) else y

    with torch.inference_mode():
        (network.network if isinstance(network, Simulation) else network).eval().run(BATCH, tap)
    return found


@pytest.fixture(scope="module", params=["lite0", "b0"])
def graph(request):
    """A network whose batch normalizations remember these inputs."""
    graph = build_graph(narrow(request.param, depth=1.0), classes=CLASSES, resolution=SIZE, seed=2)
    rng = np.random.default_rng(3)
    weights = dict(graph.weights)
    for name, array in weights.items():
        if name.endswith(("/beta", "/gamma")):
            weights[name] = (array + rng.normal(0, 0.3, array.shape)).astype(np.float32)
    network = Network(replace(graph, weights=weights), bn_momentum=0.5)
    network.drop_connect = False
    with torch.no_grad():
        for _ in range(12):
            network.train()(BATCH)
    return network.to_graph()


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_are_those_of_the_network(kind):
    x = np.linspace(-8, 8, 101)
    wanted = TORCH_ACTIVATIONS[kind](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ACTIVATIONS[kind](x), wanted, atol=1e-6)


def test_means_are_those_of_the_photos(graph):
    expected = expected_means(graph, BATCH.mean((0, 2, 3)).numpy())
    found = measured(graph, Network(graph))
    for name in ("stem", "block1a_depthwise", "block2a_project", "block2b_add", "block3a_expand"):
        spread = np.abs(found[name]).mean()
        assert np.abs(expected[name] - found[name]).mean() < 0.25 * spread, name


def test_pools_have_the_means_of_what_they_read(graph):
    pooled = pool_globally(split_large_means(graph, 256))
    mean = BATCH.mean((0, 2, 3)).numpy()
    plain, expected = expected_means(graph, mean), expected_means(pooled, mean)
    assert expected.keys() - plain.keys() >= {"pool_average"}
    for name, of_plain in plain.items():
        np.testing.assert_array_equal(expected[name], of_plain)


def test_coarse_kernels_shift_their_outputs_less(graph):
    ready = prepare(graph)
    fixed = fixed_ranges(ready, 127, 128)
    ranges = choose_ranges(collect(ready, [INPUTS], skip=fixed), "minmax")
    fine = quantize(ready, {**ranges, **fixed})
    # Four bits: the rounding of kernels is what is wrong.
    quant = {
        name: replace(p, scale=tuple(16 * s for s in p.scale)) if name.endswith("/kernel") else p
        for name, p in fine.quant.items()
    }
    coarse = replace(fine, quant=quant)
    corrected = correct_biases(graph, coarse, BATCH.mean((0, 2, 3)).numpy())
    assert corrected.quant == coarse.quant
    wanted = measured(ready, Network(ready))
    before, after = (measured(ready, Simulation(one)) for one in (coarse, corrected))
    # The first layers, whose inputs are still right.
    names = ("block1a_depthwise", "block1a_project")
    off = [sum(np.abs(one[n] - wanted[n]).mean() for n in names) for one in (before, after)]
    assert off[1] < 0.7 * off[0]
    for name, array in coarse.weights.items():
        assert np.array_equal(array, corrected.weights[name]) == (not name.endswith("/bias"))
