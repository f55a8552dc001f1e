"""The estimate against the measured cost, and both against a plain simulation."""

import numpy as np
import pytest
import torch
from narrow import narrow
from pooled import inputs, plain
from pooled import quantized as quantize_pooled

from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.calibration.sensitivity import Cost, layer_costs, measure
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import WeightedNode
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import reals
from edgekit.networks.torch_network import Network
from edgekit.targets.edgetpu.passes import pool_globally
from edgekit.tasks.classification.metrics import kl_divergence

SIZE = 32


def quantized(name):
    """A small network with one tensor much coarser than the others, and its photos."""
    spec = narrow(name, depth=1.0)
    graph = prepare(build_graph(spec, classes=6, resolution=SIZE, seed=1))
    graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
    # Sharper answers, so that the classes differ by more than a random network's do.
    weights = {**graph.weights, "logits/kernel": graph.weights["logits/kernel"] * 20}
    graph = graph.with_weights(weights)
    pixels = np.random.default_rng(0).integers(0, 256, (16, SIZE, SIZE, 3))
    fed = ((pixels - mean) / std).astype(np.float32)
    fixed = fixed_ranges(graph, mean, std)
    ranges = choose_ranges(collect(graph, [fed], skip=fixed), "mse")
    low, high = ranges["block3a_project"]
    ranges["block3a_project"] = (8 * low, 8 * high)
    return quantize(graph, ranges | fixed), [fed[:8], fed[8:]]


@pytest.fixture(scope="module")
def case():
    graph, batches = quantized("lite0")
    return graph, batches, measure(graph, batches, exact=1000)


@pytest.mark.slow
def test_every_tensor_and_kernel_is_measured(case):
    graph, _, costs = case
    tensors = [cost.name for cost in costs if cost.kind == "activation"]
    kernels = [cost.name for cost in costs if cost.kind == "weight"]
    assert set(tensors) == {graph.input, *(node.name for node in graph.nodes)}
    assert set(kernels) == {name for name in graph.weights if name.endswith("/kernel")}
    assert len(costs) == len(tensors) + len(kernels)
    assert [cost.cost for cost in costs] == sorted((cost.cost for cost in costs), reverse=True)


def test_a_flattened_pool_is_measured_once():
    costs = measure(quantize_pooled(pool_globally(plain("lite0"))), [inputs(4)], exact=0)
    assert [cost.name for cost in costs if cost.name.startswith("pool")] == ["pool_average"]


def test_the_coarse_tensor_is_found(case):
    _, _, costs = case
    assert costs[0].name == "block3a_project"
    sqnr = {cost.name: cost.sqnr_db for cost in costs}
    assert sqnr["block3a_project"] < sqnr["block3b_project"] - 10


@pytest.mark.parametrize("kind", ["activation", "weight"])
def test_the_cost_is_that_of_a_network_with_one_rounded_tensor(case, kind):
    graph, batches, costs = case
    cost = next(cost for cost in costs if cost.kind == kind)
    photos = torch.from_numpy(np.concatenate(batches)).permute(0, 3, 1, 2)
    weights = dict(graph.weights)
    if kind == "weight":
        layer = cost.name.removesuffix("/kernel")
        for name in (cost.name, f"{layer}/bias"):
            weights[name] = reals(weights[name], graph.quant[name])
    params = graph.quant[cost.name]

    def tap(name, tensor):
        if kind == "weight" or name != cost.name:
            return tensor
        scale, zero = params.scale[0], params.zero_point[0]
        return (torch.clamp((tensor / scale).round() + zero, -128, 127) - zero) * scale

    with torch.inference_mode():
        expected = Network(graph).eval()(photos).numpy()
        got = Network(graph.with_weights(weights)).eval().run(photos, tap).numpy()
    assert cost.kl == pytest.approx(kl_divergence(expected, got), rel=0.05, abs=1e-9)


def test_the_estimate_follows_the_cost(case):
    _, _, costs = case
    known = [cost for cost in costs if cost.kl and cost.kl > 1e-7]
    assert len(known) > 20
    measured = np.log([cost.kl for cost in known])
    estimated = np.log([cost.kl_estimate for cost in known])
    assert np.corrcoef(measured, estimated)[0, 1] > 0.85
    assert abs(np.median(measured - estimated)) < 0.5


def test_a_layer_owns_its_kernel_and_its_written_out_activation():
    graph, batches = quantized("b0")
    costs = measure(graph, batches[:1], exact=0)
    layers = {cost.name: cost.layer for cost in costs}
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            assert layers[f"{node.name}/kernel"] == layers[node.name] == node.name
        elif node.name.endswith(("_sigmoid", "_swish")):
            assert layers[node.name] == node.name.rpartition("_")[0]
    sums = layer_costs(costs)
    assert sum(sums.values()) == pytest.approx(sum(cost.cost for cost in costs))


def test_only_the_worst_are_measured(case):
    graph, batches, _ = case
    steps = []
    costs = measure(graph, batches, exact=3, advance=lambda *step: steps.append(step))
    assert sum(cost.kl is not None for cost in costs) == 3
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(cost.kl is None for cost in measure(graph, batches[:1], exact=0))


def test_an_estimate_stands_in_for_a_cost():
    cost = Cost("a", "activation", "Conv2D", "a", 20.0, 0.25)
    assert cost.cost == 0.25
