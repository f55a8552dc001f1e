"""The learning network computes what the integers will, and learns only what it may."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.quantized_network import QuantizedNetwork
from edgekit.calibration.simulate import Simulation
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.passes import prepare
from edgekit.networks.quantization import integers

SIZE, CLASSES = 32, 6
INPUTS = np.random.default_rng(0).uniform(-1, 1, (16, SIZE, SIZE, 3)).astype(np.float32)
BATCH = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)


@pytest.fixture(scope="module", params=["lite0", "b0"])
def pair(request):
    """A float network whose logits differ from photo to photo, and its quantized self."""
    graph = prepare(build_graph(narrow(request.param), classes=CLASSES, resolution=SIZE, seed=2))
    weights = dict(graph.weights)
    weights["logits/kernel"] = weights["logits/kernel"] * 40
    graph = replace(graph, weights=weights)
    fixed = fixed_ranges(graph, 127, 128)
    ranges = {**choose_ranges(collect(graph, [INPUTS], skip=fixed), "mse"), **fixed}
    return graph, ranges, quantize(graph, ranges)


def test_it_computes_what_the_simulation_computes(pair):
    _, _, quantized = pair
    with torch.inference_mode():
        found = QuantizedNetwork(quantized).eval()(BATCH)
        expected = Simulation(quantized).eval()(BATCH)
    # A value halfway between two integers may go either way, and rounding spreads from there.
    step = quantized.quant["logits"].scale[0]
    assert (found - expected).abs().mean() < 1.5 * step


def test_what_has_not_learned_comes_back_as_it_was(pair):
    _, _, quantized = pair
    again = QuantizedNetwork(quantized).to_graph()
    for name, params in quantized.quant.items():
        np.testing.assert_allclose(again.quant[name].scale, params.scale, rtol=1e-6)
        assert again.quant[name].zero_point == params.zero_point
    for name, array in quantized.weights.items():
        if name.endswith("/kernel"):
            found = integers(again.weights[name], again.quant[name])
            differs = found - integers(array, quantized.quant[name])
            assert np.abs(differs).max() <= 1  # float32 halves, one in a hundred thousand
            assert (differs != 0).mean() < 1e-4


def test_training_drops_nothing_and_gradients_reach_what_may_learn(pair):
    _, _, quantized = pair
    network = QuantizedNetwork(quantized).train()
    found = network(BATCH)
    with torch.no_grad():
        assert torch.equal(network(BATCH), found)
    found.square().mean().backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in network.named_parameters()}
    fixed = {"input", *(n for n in quantized.quant if n.endswith("_sigmoid"))}
    assert not fixed & set(network.log_scales)
