"""The learning network computes what the integers will, and learns only what it may."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgekit.architecture import build_graph
from edgekit.calibration.affine import integers
from edgekit.calibration.distill import Distillation, QuantizedNetwork, distill
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.errors import EdgekitError
from edgekit.network import Network
from edgekit.passes import prepare
from edgekit.spec import SPECS

SIZE, CLASSES = 32, 6
INPUTS = np.random.default_rng(0).uniform(-1, 1, (16, SIZE, SIZE, 3)).astype(np.float32)
BATCH = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)


@pytest.fixture(scope="module", params=["lite0", pytest.param("b0", marks=pytest.mark.slow)])
def pair(request):
    """A float network whose logits differ from photo to photo, and its quantized self."""
    graph = prepare(build_graph(SPECS[request.param], classes=CLASSES, resolution=SIZE, seed=2))
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


def kl(teacher, student):
    with torch.inference_mode():
        wanted = Network(teacher).eval()(BATCH).log_softmax(1)
        found = Simulation(student).eval()(BATCH).log_softmax(1)
    return float((wanted.exp() * (wanted - found)).sum(1).mean())


def test_bad_ranges_are_repaired(pair):
    teacher, ranges, _ = pair
    # Every tensor is cut at a third of its range: far more than rounding.
    cut = {
        name: bounds if name == "input" or name.endswith("_sigmoid") else (bounds[0], bounds[1] / 3)
        for name, bounds in ranges.items()
    }
    broken = quantize(teacher, cut)
    settings = Distillation(steps=30, scale_rate=0.05, weight_rate=0.1)
    learned = distill(teacher, broken, [BATCH] * 30, settings)
    assert kl(teacher, learned) < 0.5 * kl(teacher, broken)
    fixed = ("_sigmoid", "/kernel")
    for name, params in broken.quant.items():
        assert learned.quant[name].zero_point == params.zero_point
        if name == "input" or name.endswith(fixed):
            assert learned.quant[name].scale == params.scale
    free = [n for n in broken.quant if "/" not in n and n != "input" and not n.endswith(fixed)]
    moved = [name for name in free if learned.quant[name].scale != broken.quant[name].scale]
    assert len(moved) > 0.9 * len(free)


def test_rates_rise_and_fall():
    settings = Distillation(steps=100, warmup=0.1)
    rates = [settings.rate(step) for step in range(100)]
    assert rates[0] < 0.2
    assert max(rates) == pytest.approx(1, abs=0.05)
    assert np.argmax(rates) in range(8, 12)
    assert rates[-1] < 0.001


def test_a_loss_that_is_no_number_ends_it(pair):
    teacher, _, quantized = pair
    with pytest.raises(EdgekitError, match="not a number"):
        distill(teacher, quantized, [BATCH * float("nan")], Distillation(steps=1))
