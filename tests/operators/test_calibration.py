"""Calibration of networks whose outputs are maps: every pass takes their operators."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from map_formats import TFLITE, in_tflite, in_torch, nchw, simulated
from map_graphs import CASES, MEAN, STD, aspp, inputs, pixels, quantized, unet

from edgekit.calibration import equalize, pair_sums, sensitivity, statistics
from edgekit.calibration.activations import (
    int16_ranges,
    with_float_activations,
    with_int16_activations,
)
from edgekit.calibration.bias import correct_biases
from edgekit.calibration.mixed import keep_float
from edgekit.calibration.quantize import collect, fixed_ranges
from edgekit.calibration.quantized_network import QuantizedNetwork
from edgekit.calibration.reconstruction import Reconstruction, reconstruct_blocks
from edgekit.calibration.simulate import Simulation
from edgekit.networks.edit import up_to_logits
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Concat, Conv2D
from edgekit.networks.quantization import is_mixed, reals, scale_owners
from edgekit.networks.schemes import scheme_of
from edgekit.networks.torch_network import Network

NETWORKS = pytest.mark.parametrize("make", [unet, aspp])
OUTPUTS = pytest.mark.parametrize("name", ["unet classes", "aspp classes", "aspp classes-fused"])


@functools.cache
def int8(name: str) -> Graph:
    return quantized(CASES[name]())


def error(graph: Graph, other: Graph) -> float:
    """Of the quantized logits, relative to the float ones."""
    wanted = in_torch(graph)
    return float(np.square(simulated(other) - wanted).mean() / np.square(wanted).mean())


@OUTPUTS
def test_classes_have_no_histogram_and_no_parameters(name):
    graph = CASES[name]()
    assert not graph.class_tensors & collect(graph, [inputs(graph)]).keys()
    assert not graph.class_tensors & int8(name).quant.keys()
    assert graph.output in graph.class_tensors


@OUTPUTS
def test_up_to_its_logits_a_network_is_the_same(name):
    graph = int8(name)
    logits = up_to_logits(graph)
    assert not logits.class_tensors
    assert (logits.quant, logits.weights) == (graph.quant, graph.weights)
    classes = simulated(logits).argmax(-1)
    if name == "aspp classes-fused":
        classes = classes[:, np.arange(33) * 17 // 33][:, :, np.arange(33) * 17 // 33, None]
    np.testing.assert_array_equal(classes, simulated(graph))


@NETWORKS
def test_equalization_changes_nothing_but_the_weights(make):
    graph = make()
    tensors = [name for group in equalize.groups(graph) for name in group.tensors]
    concats = [node for node in graph.nodes if isinstance(node, Concat)]
    held = {name for node in concats for name in (node.name, *node.inputs)}
    assert tensors
    assert not held & {*tensors}
    extremes = equalize.channel_extremes(graph, [inputs(graph)], tensors)
    even = equalize.equalize(graph, extremes, alpha=1.0)
    assert any((even.weights[n] != graph.weights[n]).any() for n in graph.weights)
    wanted = in_torch(graph)
    np.testing.assert_allclose(in_torch(even), wanted, atol=1e-5 * np.abs(wanted).max())


@NETWORKS
def test_biases_are_corrected_and_blocks_reconstructed(make):
    graph = make()
    rough = quantized(graph)
    coarse = {
        name: replace(params, scale=tuple(12 * scale for scale in params.scale))
        for name, params in rough.quant.items()
        if name.endswith("/kernel")
    }
    rough = replace(rough, quant=rough.quant | coarse)
    corrected = correct_biases(graph, rough, inputs(graph))
    learned = reconstruct_blocks(
        graph,
        rough,
        inputs(graph),
        Reconstruction(steps=30, settling=1 / 3, batch=4),
        task="segmentation",
    )
    before, better, best = (error(graph, one) for one in (rough, corrected, learned))
    assert better < 0.95 * before
    assert best < before
    assert corrected.quant == rough.quant
    assert all(learned.quant[name] == params for name, params in coarse.items())


def test_expected_means_are_those_of_the_values_behind_a_concat():
    graph = aspp()
    means = statistics.expected_means(graph, np.zeros(3))
    for node in graph.nodes:
        assert means[node.name].shape == graph.shapes[node.name][-1:]
        if isinstance(node, Concat):
            joined = np.concatenate([means[name] for name in node.inputs])
            np.testing.assert_array_equal(means[node.name], joined)


@OUTPUTS
def test_means_for_sums_of_products_are_of_every_tensor_but_classes(name):
    graph = int8(name)
    means = pair_sums.mean_inputs(graph, [pixels(graph)])
    tensors = {graph.input, *(node.name for node in graph.nodes)}
    assert means.keys() == tensors - graph.class_tensors
    fitted = pair_sums.correct_shift(graph, pair_sums.fit_pairs(graph), means)
    assert (simulated(fitted) == simulated(graph)).mean() > 0.9


@OUTPUTS
def test_the_costliest_tensors_of_a_network_are_found(name):
    graph = int8(name)
    costs = sensitivity.measure(graph, [inputs(graph)], exact=5)
    names = {cost.name for cost in costs if cost.kind == "activation"}
    owners = scale_owners(graph)
    assert not graph.class_tensors & names
    # What is rounded once is counted once: the layers in front of a Concat, not itself.
    shared = {node.name for node in graph.nodes if isinstance(node, Concat)}
    once = {n for n in shared if all(owners.get(i) == n for i in graph.node(n).inputs)}
    assert not once & names
    assert {node.name for node in graph.nodes if isinstance(node, Conv2D)} <= names
    measured = [cost for cost in costs if cost.kl is not None]
    assert len(measured) == 5
    assert all(0.2 < cost.kl_estimate / cost.kl < 5 for cost in measured)


@pytest.mark.parametrize("name", ["unet logits", "aspp logits"])
def test_a_network_that_learns_is_the_simulation_and_learns_one_scale_for_a_concat(name):
    graph = int8(name)
    network = QuantizedNetwork(graph).train()
    x = nchw(graph)
    found = network(x)
    with torch.inference_mode():
        wanted = Simulation(graph).eval()(x)
    step = graph.quant[graph.output].scale[0]
    # Gradients want the resize in float32 throughout; ties may fall the other way.
    assert float((found.detach() - wanted).abs().mean()) < 0.2 * step
    found.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    owners = scale_owners(graph)
    assert not owners.keys() & {*network.log_scales}
    (node, *_) = [node for node in graph.nodes if isinstance(node, Concat)]
    with torch.no_grad():
        network.log_scales[node.name] += 0.1
    learned = network.to_graph()
    assert learned.quant[node.name].scale[0] > 1.05 * graph.quant[node.name].scale[0]
    for name, owner in owners.items():
        assert learned.quant[name] == learned.quant[owner]


@OUTPUTS
def test_a_network_of_classes_can_be_evaluated_while_it_learns(name):
    graph = int8(name)
    with torch.inference_mode():
        found = QuantizedNetwork(graph).eval()(nchw(graph))
    assert found.dtype == torch.int64
    assert (found == Simulation(graph).eval()(nchw(graph))).float().mean() > 0.97


@OUTPUTS
@pytest.mark.parametrize("kind", ["concat", "front", "logits", "resize"])
def test_what_is_kept_in_float_may_be_anywhere(name, kind):
    graph = int8(name)
    concats = [node for node in graph.nodes if isinstance(node, Concat)]
    (chooses,) = [node for node in graph.nodes if type(node).__name__ == "ArgMax"]
    tensor = {
        "concat": concats[0].name,
        "front": concats[0].inputs[0],
        "logits": chooses.inputs[0],
        "resize": next(n.name for n in graph.nodes if type(n).__name__ == "Resize"),
    }[kind]
    if tensor in graph.class_tensors:
        pytest.skip("the only resize is of classes")
    mixed = keep_float(graph, [tensor])
    assert is_mixed(mixed)
    assert tensor not in mixed.quant
    wanted = simulated(mixed)
    for kernels in TFLITE[:1]:
        assert (in_tflite(mixed, kernels) == wanted).mean() > 0.97


def test_the_float_network_and_its_classes_agree():
    graph = unet("classes")
    with torch.inference_mode():
        x = nchw(graph)
        logits = Network(up_to_logits(graph)).eval()(x)
        assert torch.equal(logits.argmax(1), Network(graph).eval()(x))


@pytest.mark.parametrize("name", ["unet logits", "aspp logits", "aspp classes"])
def test_activations_of_16_bits_are_nearly_exact(name):
    graph = CASES[name]()
    histograms = collect(graph, [inputs(graph)])
    ranges = int16_ranges(histograms) | fixed_ranges(graph, MEAN, STD, "int16")
    wide = with_int16_activations(graph, int8(name), ranges)
    assert scheme_of(wide) == "w8a16-static"
    kernels = replace(graph, weights=simulate_kernels(graph, wide))
    if graph.class_tensors:
        assert (simulated(wide) == in_torch(kernels)).mean() > 0.99
    else:
        step = wide.quant[graph.output].scale[0]
        assert np.abs(simulated(wide) - in_torch(kernels)).max() < 40 * step
    assert scheme_of(with_float_activations(graph, int8(name))) == "w8-dynamic"


def simulate_kernels(graph: Graph, wide: Graph) -> dict[str, np.ndarray]:
    """The float network's weights, with the kernels of the other on their grid."""
    return {
        name: reals(array, wide.quant[name]) if name.endswith("/kernel") else array
        for name, array in graph.weights.items()
    }
