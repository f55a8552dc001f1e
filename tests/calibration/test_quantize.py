"""Every tensor gets parameters; the simulation stays close to the float network."""

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.histogram import HistogramTap
from edgekit.calibration.quantize import (
    choose_all,
    choose_ranges,
    collect,
    fixed_ranges,
    quantize,
    wide_enough,
)
from edgekit.calibration.simulate import Simulation
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import Activation, Add, FullyConnected
from edgekit.networks.passes import absorb_normalization, prepare
from edgekit.networks.quantization import SUM_SHARES
from edgekit.networks.torch_network import Network

SIZE = 48


def quantized(name, method="mse"):
    """A small quantized network with the inputs that calibrated it."""
    spec = narrow(name)
    graph = prepare(build_graph(spec, classes=6, resolution=SIZE, seed=1))
    graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "depthwise")
    pixels = np.random.default_rng(0).integers(0, 256, (24, SIZE, SIZE, 3))
    inputs = ((pixels - mean) / std).astype(np.float32)
    fixed = fixed_ranges(graph, mean, std)
    histograms = collect(graph, [inputs[:12], inputs[12:]], skip=fixed)
    return quantize(graph, {**choose_ranges(histograms, method), **fixed}), inputs


@pytest.fixture(scope="module", params=["b0", "lite0"])
def network(request):
    return quantized(request.param)


def test_every_tensor_and_weight_is_covered(network):
    graph, _ = network
    tensors = {graph.input, *(node.name for node in graph.nodes)}
    assert set(graph.quant) == tensors | set(graph.weights)


def test_the_scheme_is_tflites(network):
    graph, _ = network
    for name, params in graph.quant.items():
        if name.endswith("/kernel"):
            node = graph.node(name.removesuffix("/kernel"))
            channels = 1 if isinstance(node, FullyConnected) else graph.weights[name].shape[-1]
            assert len(params.scale) == channels
            assert set(params.zero_point) == {0}
        elif name.endswith("/bias"):
            node = graph.node(name.removesuffix("/bias"))
            kernel, source = graph.quant[f"{node.name}/kernel"], graph.quant[node.inputs[0]]
            np.testing.assert_allclose(params.scale, np.array(kernel.scale) * source.scale[0])
        else:
            assert len(params.scale) == 1
            assert -128 <= params.zero_point[0] <= 127
    for node in graph.nodes:
        if isinstance(node, Activation):
            assert graph.quant[node.name].scale == (1 / 256,)
            assert graph.quant[node.name].zero_point == (-128,)


def test_the_input_holds_every_pixel_exactly(network):
    graph, inputs = network
    params = graph.quant[graph.input]
    steps = inputs / params.scale[0] + params.zero_point[0]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert steps.min() == pytest.approx(-128, abs=1e-3)
    assert steps.max() == pytest.approx(127, abs=1e-3)


def test_the_simulation_follows_the_float_network(network):
    graph, inputs = network
    photos = torch.from_numpy(inputs).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = Network(graph).eval()(photos).numpy()
        got = Simulation(graph).eval()(photos).numpy()
    assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > 0.97
    assert not np.array_equal(expected, got)
    # Logits stand on the grid of the last tensor.
    params = graph.quant[graph.output]
    steps = got / params.scale[0]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-2)


def test_a_branch_that_does_nothing_has_a_range_that_its_sum_can_have():
    graph = prepare(build_graph(narrow("lite0", depth=0.5), classes=3, resolution=32))
    adds = [node for node in graph.nodes if isinstance(node, Add)]
    assert adds
    ranges = dict.fromkeys((graph.input, *(node.name for node in graph.nodes)), (-1.0, 1.0))
    for node in adds:
        ranges[node.inputs[0]] = (-1e-9, 0.0)
    wide = wide_enough(graph, ranges)
    for node in adds:
        low, high = wide[node.inputs[0]]
        assert (high - low) / 2.0 == pytest.approx(2 * SUM_SHARES[0], rel=1e-3)
        assert low < 0 < high
    changed = {name for name in ranges if ranges[name] != wide[name]}
    assert changed == {node.inputs[0] for node in adds}
    assert wide_enough(graph, wide) == wide


def test_a_missing_range_is_an_error():
    graph = prepare(build_graph(narrow("lite0"), classes=3, resolution=32))
    with pytest.raises(ValueError, match="no range for"):
        quantize(graph, {"input": (0.0, 1.0)})


def test_an_unknown_method_is_an_error():
    with pytest.raises(UsageError, match="unknown range method 'mean'"):
        choose_ranges({}, "mean")


def test_a_tensor_may_have_a_method_of_its_own():
    rng = np.random.default_rng(0)
    tap = HistogramTap()
    for name in ("a", "b"):
        tap(name, torch.from_numpy(rng.standard_t(2, (1, 5000)).astype(np.float32)))
    ranges = choose_ranges(tap.histograms, "mse", named={"b": "minmax"})
    assert ranges["a"] == choose_ranges(tap.histograms, "mse")["a"]
    assert ranges["b"] == choose_ranges(tap.histograms, "minmax")["b"] != ranges["a"]
    choices = choose_all(tap.histograms, "auto")
    assert choices["a"].why == "least error of 6 methods"
    with pytest.raises(UsageError, match="no calibrated tensor 'c'"):
        choose_ranges(tap.histograms, "minmax", named={"c": "mse"})


def test_damaged_weights_are_noticed_by_name():
    graph = prepare(build_graph(narrow("lite0"), classes=3, resolution=32))
    kernel = graph.weights["block2a_expand/kernel"].copy()
    kernel[0, 0, 0, 0] = np.nan
    broken = graph.with_weights({**graph.weights, "block2a_expand/kernel": kernel})
    with pytest.raises(EdgekitError, match="'block2a_expand/kernel' holds NaN"):
        collect(broken, [np.ones((1, 32, 32, 3), np.float32)])


def test_an_overflow_is_noticed_at_its_tensor():
    graph = prepare(build_graph(narrow("lite0"), classes=3, resolution=32))
    kernel = graph.weights["block2a_project/kernel"].copy()
    kernel[:] = 3e38
    broken = graph.with_weights({**graph.weights, "block2a_project/kernel": kernel})
    with pytest.raises(EdgekitError, match="'block2a_project' holds NaN"):
        collect(broken, [np.ones((1, 32, 32, 3), np.float32)])
