"""The int8 network's kernels beside other activations, with biases that can be corrected."""

from dataclasses import replace

import numpy as np
import pooled
import pytest
import torch

from edgekit.calibration import statistics
from edgekit.calibration.activations import (
    FEW_WEIGHTS,
    int16_ranges,
    rounded_at_kernels,
    with_float_activations,
    with_int16_activations,
)
from edgekit.calibration.bias import correct_biases
from edgekit.calibration.mixed import keep_float
from edgekit.calibration.pair_sums import fit_pairs
from edgekit.calibration.quantize import collect, fixed_ranges
from edgekit.calibration.simulate import Simulation
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Activation, FullyConnected, WeightedNode
from edgekit.networks.passes import prepare
from edgekit.networks.quantization import integers, is_mixed, reals, scale_owners
from edgekit.networks.schemes import scheme_of
from edgekit.networks.torch_network import Network

NAMES = [
    "lite0",
    pytest.param("b0", marks=pytest.mark.slow),
    pytest.param("es", marks=pytest.mark.slow),
]
INPUTS = pooled.inputs(24)
BATCH = torch.from_numpy(INPUTS).permute(0, 3, 1, 2)


def ranges_of(graph):
    fixed = fixed_ranges(graph, pooled.MEAN, pooled.STD, "int16")
    return int16_ranges(collect(graph, [INPUTS])) | fixed


def answers(network):
    with torch.inference_mode():
        return network.eval()(BATCH).numpy()


def kernels(graph):
    return {f"{node.name}/kernel" for node in graph.nodes if isinstance(node, WeightedNode)}


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    """A network with pools, float and int8."""
    graph = pooled.pooled(request.param)
    return graph, pooled.quantized(graph)


def learned(quantized):
    """The network with some kernels rounded the other way, as block reconstruction leaves them."""
    name = "block1a_project/kernel"
    params = quantized.quant[name]
    steps = integers(quantized.weights[name], params)
    steps = np.clip(steps + (np.arange(steps.size).reshape(steps.shape) % 3 - 1), -127, 127)
    kernel = (steps * np.asarray(params.scale)).astype(np.float32)
    return replace(quantized, weights={**quantized.weights, name: kernel})


def test_16_bit_activations(pair):
    graph, quantized = pair
    ranges = ranges_of(graph)
    found = with_int16_activations(graph, learned(quantized), ranges)
    assert scheme_of(found) == "w8a16-static"
    owners = scale_owners(graph)
    for name in graph.shapes:
        params = found.quant[name]
        assert (params.dtype, params.zero_point, params.axis) == ("int16", (0,), None)
        low, high = ranges[owners.get(name, name)]
        assert params.scale[0] * 32767 == pytest.approx(max(-low, high), rel=1e-6)
    for node in graph.nodes:
        if isinstance(node, Activation):
            assert found.quant[node.name].scale == (1 / 32768,)
        if isinstance(node, WeightedNode):
            kernel, bias = (found.quant[f"{node.name}/{name}"] for name in ("kernel", "bias"))
            assert kernel == quantized.quant[f"{node.name}/kernel"]
            assert bias.dtype == "int64"
            scale = found.quant[node.inputs[0]].scale[0]
            assert bias.scale == tuple(scale * one for one in kernel.scale)
    assert all(found.weights[name] is graph.weights[name] for name in kernels(graph))


def test_16_bits_have_room_for_photos_that_were_not_seen(pair):
    graph, quantized = pair
    histograms = collect(graph, [INPUTS])
    ranges = int16_ranges(histograms)
    found = with_int16_activations(graph, quantized, ranges | ranges_of(graph))
    tensor = "logits"
    largest = max(-histograms[tensor].minimum, histograms[tensor].maximum)
    values = torch.tensor([[1.5 * largest, -1.5 * largest, 3 * largest]])
    rounded = Simulation(found).round(tensor, values)[0] / largest
    np.testing.assert_allclose(rounded, [1.5, -1.5, 2.0], atol=1e-3)


def test_float_activations(pair):
    graph, quantized = pair
    found = with_float_activations(graph, learned(quantized))
    assert scheme_of(found) == "w8-dynamic"
    large = {name for name in kernels(graph) if graph.weights[name].size >= FEW_WEIGHTS}
    assert found.quant == {name: quantized.quant[name] for name in large}
    assert found.weights == graph.weights


@pytest.mark.parametrize("make", ["16 bits", "float"])
def test_a_float_kernel_of_a_mixed_network_gets_scales_of_its_own(pair, make):
    graph, quantized = pair
    mixed = keep_float(quantized, ["logits", "block2a_expand"])
    assert is_mixed(mixed)
    if make == "float":
        found = with_float_activations(graph, mixed)
        large = {name for name in kernels(graph) if graph.weights[name].size >= FEW_WEIGHTS}
        assert found.quant.keys() == large
    else:
        found = with_int16_activations(graph, mixed, ranges_of(graph))
        assert found.quant.keys() == quantized.quant.keys()
    # Nothing but the room for biases could tell them from those of the int8 network.
    for name in found.quant.keys() & kernels(graph):
        np.testing.assert_allclose(found.quant[name].scale, quantized.quant[name].scale, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_16_bits_are_nearer_to_float_than_8(name):
    """With kernels that lose nothing, so that the activations alone make the difference."""
    graph, quantized = exact_kernels(pooled.pooled(name))
    wanted = answers(Network(graph))
    found = with_int16_activations(graph, quantized, ranges_of(graph))
    errors = [np.abs(answers(Simulation(one)) - wanted).mean() for one in (found, quantized)]
    assert errors[0] < 0.02 * errors[1]


def exact_kernels(graph):
    """A network whose kernels are on their 8-bit grid, and its int8 self."""
    params = pooled.quantized(graph).quant
    weights = {
        name: reals(array, params[name]) if name.endswith("/kernel") else array
        for name, array in graph.weights.items()
    }
    graph = replace(graph, weights=weights)
    return graph, pooled.quantized(graph)


def test_what_kernels_read_is_rounded_and_nothing_in_between(pair):
    graph, quantized = pair
    found = rounded_at_kernels(graph, learned(quantized))
    read = {node.inputs[0] for node in graph.nodes if isinstance(node, WeightedNode)}
    tensors = {graph.input, *(node.name for node in graph.nodes)}
    assert found.quant.keys() & tensors == read
    assert all(found.quant[name] == quantized.quant[name] for name in read)
    assert found.weights == graph.weights  # none of those that were learned
    for name in kernels(graph):
        assert found.quant[name] == fit_pairs(quantized).quant[name]


def test_the_input_keeps_its_scale_where_no_int8_kernel_reads_it(pair):
    graph, quantized = pair
    mixed = keep_float(quantized, ["stem"])
    found = rounded_at_kernels(graph, mixed)
    assert "stem/kernel" not in found.quant
    assert found.quant[graph.input] == quantized.quant[graph.input]


MAKE = {
    "16 bits": lambda graph, quantized: with_int16_activations(graph, quantized, ranges_of(graph)),
    "float": with_float_activations,
    "at kernels": rounded_at_kernels,
}


def test_biases_for_other_roundings_are_not_those_of_fewer(pair):
    graph, quantized = pair
    bare, wanted = rounded_at_kernels(graph, quantized), answers(Network(graph))
    own = correct_biases(graph, bare, INPUTS)
    others = {
        name: array
        for name, array in correct_biases(graph, quantized, INPUTS).weights.items()
        if name.endswith("/bias")
    }
    shifts = [
        np.abs((answers(Simulation(one)) - wanted).mean(0)).mean()
        for one in (own, bare.with_weights({**bare.weights, **others}), bare)
    ]
    assert shifts[0] < 0.5 * min(shifts[1:])


@pytest.mark.parametrize("make", ["16 bits", "float"])
def test_the_mean_error_of_rounded_kernels_is_taken_out(pair, make):
    graph, quantized = pair
    bare = MAKE[make](graph, coarse_kernels(quantized))
    corrected = correct_biases(graph, bare, INPUTS)
    assert corrected.quant == bare.quant
    wanted = answers(Network(graph))
    before, after = (answers(Simulation(one)) - wanted for one in (bare, corrected))
    assert np.abs(after.mean(0)).mean() < 0.1 * np.abs(before.mean(0)).mean()


def coarse_kernels(quantized):
    """The network with kernels that are rounded down: their errors all have one sign."""
    weights, quant = dict(quantized.weights), dict(quantized.quant)
    for name in kernels(quantized):
        scale = np.asarray(quant[name].scale)
        kernel = np.clip(np.floor(weights[name] / scale), -127, 127) * scale
        weights[name] = kernel.astype(np.float32)
    return replace(quantized, weights=weights, quant=quant)


def test_statistics_leave_the_biases_of_float_kernels_alone():
    spec = pooled.VARIANTS["lite0"]
    trained = build_graph(spec, classes=pooled.CLASSES, resolution=pooled.SIDE, seed=2)
    graph = prepare(trained)
    bare = with_float_activations(graph, pooled.quantized(graph))
    corrected = statistics.correct_biases(trained, bare, np.zeros(3))
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            bias = f"{node.name}/bias"
            same = np.array_equal(corrected.weights[bias], bare.weights[bias])
            assert same == (f"{node.name}/kernel" not in bare.quant)


def test_they_can_be_saved(pair, tmp_path):
    graph, quantized = pair
    for make in MAKE.values():
        found = make(graph, quantized)
        found.save(tmp_path / "model.graph")
        assert Graph.load(tmp_path / "model.graph").quant == found.quant


def test_a_fully_connected_kernel_has_one_scale(pair):
    graph, quantized = pair
    bare = keep_float(quantized, graph.shapes)  # no kernel has parameters
    found = with_float_activations(graph, bare)
    for node in graph.nodes:
        name = f"{node.name}/kernel"
        if name in found.quant:
            channels = 1 if isinstance(node, FullyConnected) else graph.weights[name].shape[-1]
            assert len(found.quant[name].scale) == channels
