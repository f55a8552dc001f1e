"""Block reconstruction loses less than nearest integers do, and moves them by one at most."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from detector_graph import CLASSES as CLASSES_OF_BOXES
from detector_graph import ROWS, SIDE, int8, prepared
from narrow import narrow

from edgekit.calibration.blocks import find_blocks
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.reconstruction import Reconstruction, channel_costs, reconstruct_blocks
from edgekit.calibration.simulate import Simulation
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.passes import prepare
from edgekit.networks.quantization import integers
from edgekit.networks.torch_network import Network

SIZE, CLASSES = 32, 6
INPUTS = np.random.default_rng(0).uniform(-1, 1, (24, SIZE, SIZE, 3)).astype(np.float32)
FRESH = np.random.default_rng(1).uniform(-1, 1, (24, SIZE, SIZE, 3)).astype(np.float32)
#: Costs are by Fisher information, and answers that hardly differ have hardly any.
GAIN = 40


def network(name):
    graph = prepare(build_graph(narrow(name), classes=CLASSES, resolution=SIZE, seed=2))
    return replace(
        graph, weights={**graph.weights, "logits/kernel": GAIN * graph.weights["logits/kernel"]}
    )


def coarse(graph, bits):
    """The quantized network, its kernels with fewer bits: rounding is what is wrong with it."""
    fixed = fixed_ranges(graph, 127, 128)
    ranges = choose_ranges(collect(graph, [INPUTS], skip=fixed), "minmax")
    quantized = quantize(graph, {**ranges, **fixed})
    wider = 2 ** (8 - bits)
    quant = {
        name: replace(params, scale=tuple(scale * wider for scale in params.scale))
        if name.endswith("/kernel")
        else params
        for name, params in quantized.quant.items()
    }
    return replace(quantized, quant=quant)


def error(graph, quantized):
    """Mean squared error of the logits on photos that were not learned from."""
    batch = torch.from_numpy(FRESH).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted, found = Network(graph).eval()(batch), Simulation(quantized).eval()(batch)
    return float((found - wanted).square().mean() / wanted.var())


@pytest.mark.parametrize("name", ["lite0", pytest.param("b0", marks=pytest.mark.slow)])
def test_coarse_kernels_lose_less(name):
    graph = network(name)
    bare = coarse(graph, bits=4)
    learned = reconstruct_blocks(graph, bare, INPUTS, Reconstruction(steps=60))
    assert error(graph, learned) < 0.7 * error(graph, bare)
    moved = 0
    for name, array in bare.weights.items():
        if name.endswith("/kernel"):
            params = bare.quant[name]
            assert learned.quant[name] == params
            nearest, found = integers(array, params), integers(learned.weights[name], params)
            assert np.abs(found - nearest).max() <= 1
            # What it gives is on the grid: the file rounds it once more.
            grid = found * np.array(params.scale)
            np.testing.assert_allclose(learned.weights[name], grid, rtol=1e-5, atol=1e-7)
            moved += (found != nearest).sum()
    assert moved > 1000
    for name, params in bare.quant.items():
        if not name.endswith("/bias"):
            assert learned.quant[name].zero_point == params.zero_point
            assert learned.quant[name].scale == pytest.approx(params.scale, rel=0.5)


def test_the_same_seed_gives_the_same_network():
    graph = network("lite0")
    bare = coarse(graph, bits=4)
    brief = Reconstruction(steps=3, settling=1, batch=4)
    one, two, other = (
        reconstruct_blocks(graph, bare, INPUTS[:8], brief, seed=seed) for seed in (5, 5, 6)
    )
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert one.quant == two.quant
    assert one.quant != other.quant


def test_blocks_that_do_not_gain_are_as_they_were():
    graph = network("lite0")
    bare = coarse(graph, bits=8)
    seen = []
    ruinous = Reconstruction(steps=2, settling=0, batch=4, kernel_rate=0.0, bias_rate=1e4)
    kept = reconstruct_blocks(
        graph, bare, INPUTS[:8], ruinous, advance=lambda *done: seen.append(done)
    )
    assert all(kept.weights[name] is array for name, array in bare.weights.items())
    assert kept.quant == bare.quant
    blocks = len(find_blocks(graph))
    assert seen == [(done, blocks) for done in range(1, blocks + 1)]


def test_no_steps_at_all_change_nothing_but_halves():
    graph = network("lite0")
    bare = coarse(graph, bits=8)
    same = reconstruct_blocks(graph, bare, INPUTS[:8], Reconstruction(steps=0))
    for name, array in bare.weights.items():
        if name.endswith("/kernel"):
            steps, found = (integers(a, bare.quant[name]) for a in (array, same.weights[name]))
            assert (steps != found).mean() < 1e-3


def test_the_cost_of_an_error_is_the_divergence_that_it_brings():
    """To second order, on the logits themselves: half of the mean squares with their costs."""
    graph = network("lite0")
    photos = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        logits = Network(graph).eval()(photos).double()
    costs = sum(
        channel_costs(graph, find_blocks(graph), photos, "classification", generator)["logits"]
        for _ in range(200)
    )
    for index in range(CLASSES):
        near = logits.clone()
        near[:, index] += 0.01
        p, q = logits.log_softmax(1), near.log_softmax(1)
        divergence = float((p.exp() * (p - q)).sum(1).mean())
        cost = float(costs[0, index]) / 200
        assert cost * 0.01**2 / 2 == pytest.approx(divergence, rel=0.1)


def test_every_output_of_a_block_has_a_cost_by_channel():
    graph = network("b0")
    blocks = find_blocks(graph)
    photos = torch.from_numpy(INPUTS[:8]).permute(0, 3, 1, 2)
    costs = channel_costs(graph, blocks, photos, "classification", torch.Generator())
    assert costs.keys() == {name for block in blocks for name in block.outputs}
    for name, cost in costs.items():
        shape = graph.shapes[name]
        assert cost.shape == ((1, shape[-1], 1, 1) if len(shape) == 3 else (1, *shape))
        assert (cost >= 0).all()
        assert cost.sum() > 0


@pytest.mark.parametrize("fusion", ["sum", "weighted"])
def test_a_detector_with_rows_of_two_kinds_is_reconstructed(fusion):
    graph = prepared(fusion=fusion)
    photos = np.random.default_rng(0).uniform(-1, 1, (8, SIDE, SIDE, 3)).astype(np.float32)
    quantized = int8(fusion=fusion)
    coarse = {
        name: replace(params, scale=tuple(12 * scale for scale in params.scale))
        for name, params in quantized.quant.items()
        if name.endswith("/kernel")
    }
    rough = replace(quantized, quant=quantized.quant | coarse)
    learned = reconstruct_blocks(graph, rough, photos, Reconstruction(steps=30), task="detection")
    batch = torch.from_numpy(photos).permute(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = Network(graph).eval()(batch)
        before, after = (Simulation(one).eval()(batch) for one in (rough, learned))
    assert (after - wanted).square().mean() < 0.8 * (before - wanted).square().mean()
    costs = channel_costs(
        graph, find_blocks(graph), batch, "detection", torch.Generator().manual_seed(0)
    )
    assert costs["boxes"].shape == (1, ROWS, 4)
    assert costs["logits"].shape == (1, ROWS, CLASSES_OF_BOXES)
