"""A block that learns computes what the simulation does, and learns only what it may."""

import numpy as np
import pytest
import torch
from map_graphs import CASES, quantized
from narrow import narrow

from edgekit.calibration.blocks import find_blocks
from edgekit.calibration.learning_block import Coins, LearningBlock, run_block
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.simulate import Simulation
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import Activation
from edgekit.networks.passes import prepare
from edgekit.networks.quantization import integers
from edgekit.networks.torch_network import Network

SIZE = 32
INPUTS = np.random.default_rng(0).uniform(-1, 1, (8, SIZE, SIZE, 3)).astype(np.float32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pair():
    """A float network and its quantized self."""
    graph = prepare(build_graph(narrow("b0"), classes=6, resolution=SIZE, seed=2))
    fixed = fixed_ranges(graph, 127, 128)
    ranges = {**choose_ranges(collect(graph, [INPUTS], skip=fixed), "mse"), **fixed}
    return graph, quantize(graph, ranges)


def inputs_of(graph, block, tap=None):
    """What a block of a network reads, of all photos."""
    found = {}

    def watch(name, tensor):
        tensor = tap(name, tensor) if tap else tensor
        if name in block.inputs:
            found[name] = tensor.clone()
        return tensor

    with torch.no_grad():
        Network(graph).eval().run(torch.from_numpy(INPUTS).permute(0, 3, 1, 2), watch)
    return found


def coins(share):
    return Coins(share, torch.Generator().manual_seed(0))


def test_with_hard_kernels_it_computes_what_the_simulation_computes(pair):
    graph, small = pair
    simulation = Simulation(small)
    for block in find_blocks(graph)[:-1]:  # fresh logits are next to nothing
        values = inputs_of(graph, block, simulation.round)
        module = LearningBlock(small, block, graph.weights, CPU)
        module.harden()
        with torch.no_grad():
            found = module(values)
            wanted = run_block(block, simulation.network, values, simulation.round_)
        for name in block.outputs:
            # Ties may go either way.
            step = small.quant[name].scale[0]
            assert (found[name] - wanted[name]).abs().mean() < 0.1 * step


def test_what_no_coin_rounds_is_the_float_block_with_its_kernels_between_integers(pair):
    graph, small = pair
    block = find_blocks(graph)[1]
    values = inputs_of(graph, block)
    module = LearningBlock(small, block, graph.weights, CPU)
    with torch.no_grad():
        found = module(values, coins(0))
        wanted = run_block(block, Network(graph).eval(), values)
        rounded = module(values, coins(1))
        everything = module(values)
    for name in block.outputs:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-3, atol=1e-4)
        assert torch.equal(rounded[name], everything[name])
        assert not torch.equal(rounded[name], found[name])


def test_gradients_reach_what_may_learn_and_prescribed_scales_may_not(pair):
    graph, small = pair
    for block in find_blocks(graph):
        module = LearningBlock(small, block, graph.weights, CPU)
        outputs = module(inputs_of(graph, block))
        loss = sum(tensor.square().sum() for tensor in outputs.values()) + module.indecision(2.0)
        loss.backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
        sigmoids = {node.name for node in block.nodes if isinstance(node, Activation)}
        assert not sigmoids & {*module.log_scales}
        assert {*module.log_scales} <= {node.name for node in block.nodes} - sigmoids


def test_what_has_not_learned_comes_back_as_it_was_on_its_grid(pair):
    graph, small = pair
    again = small
    for block in find_blocks(graph):
        module = LearningBlock(again, block, graph.weights, CPU)
        module.harden()
        again = module.to_graph()
    for name, params in small.quant.items():
        np.testing.assert_allclose(again.quant[name].scale, params.scale, rtol=1e-6)
        assert again.quant[name].zero_point == params.zero_point
    for name, array in small.weights.items():
        params = small.quant[name]
        if name.endswith("/kernel"):
            steps = integers(array, params)
            found = integers(again.weights[name], params)
            assert (found != steps).mean() < 1e-3  # halves
            grid = found * np.array(params.scale)
            np.testing.assert_allclose(again.weights[name], grid, rtol=1e-5, atol=1e-7)
        else:
            np.testing.assert_allclose(again.weights[name], array, rtol=1e-5, atol=1e-7)


def test_kernels_are_hard_when_nothing_is_between_integers_any_more(pair):
    graph, small = pair
    module = LearningBlock(small, find_blocks(graph)[0], graph.weights, CPU)
    assert 0.1 < module.indecision(2.0).item() < 1
    module.harden()
    assert module.indecision(2.0).item() == 0
    assert not any(kernel.requires_grad for kernel in module.kernels)


def test_a_scale_that_an_earlier_block_has_as_well_does_not_learn():
    graph = CASES["aspp logits"]()
    small, earlier, held = quantized(graph), set(), set()
    for block in find_blocks(graph):
        own = {node.name for node in block.nodes}
        module = LearningBlock(small, block, graph.weights, CPU)
        assert not module.owners.keys() & {*module.log_scales}
        shared = {owner for name, owner in module.owners.items() if name in earlier} & own
        assert not shared & {*module.log_scales}
        earlier, held = earlier | own, held | shared
    assert held


def test_coins_are_as_many_as_the_share_and_differ_from_turn_to_turn():
    some = coins(0.25)
    maps = torch.empty(4, 3, 50, 50).contiguous(memory_format=torch.channels_last)
    one, two, rows = some(maps), some(maps), some(torch.empty(7, 300))
    assert one.shape == maps.shape
    assert one.stride() == maps.stride()
    assert rows.shape == (7, 300)
    assert float(one.float().mean()) == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(one, two)


def test_a_tensor_longer_than_the_draw_has_it_again_and_again():
    drawn = Coins(0.5, torch.Generator().manual_seed(0), drawn=64)
    found = drawn(torch.empty(1000))
    assert found.shape == (1000,)
    assert torch.equal(found[:64], found[64:128])
