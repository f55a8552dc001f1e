"""A plain module computes what the Graph says, and every tracer takes it."""

import warnings
from dataclasses import replace

import numpy as np
import pooled
import pytest
import small_graphs
import torch
from narrow import narrow

import edgekit
from edgekit.calibration.activations import with_float_activations
from edgekit.calibration.simulate import Simulation
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import Network

FAMILIES = ("b0", "lite0", "es", "v2-b0")


def photos(side, count=2):
    return torch.from_numpy(pooled.inputs(count, side)).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def outputs(module, x):
    return module(x)


@pytest.mark.parametrize("side", [32, 33])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_and_its_prepared_self_compute_the_same_bits(name, side):
    graph = build_graph(narrow(name), classes=6, resolution=side, seed=2)
    for one in (graph, prepare(graph)):
        expected = outputs(Network(one).eval(), photos(side))
        assert torch.equal(outputs(edgekit.export.to_torch(one), photos(side)), expected)


@pytest.mark.parametrize("name", small_graphs.CASES)
def test_every_kind_of_operator(name):
    graph = small_graphs.draw(name, 0)
    height, width, *channels = (*graph.shapes[graph.input], 1)[:3]
    x = torch.from_numpy(
        np.random.default_rng(1).normal(size=(2, *channels, height, width)).astype(np.float32)
    )
    expected = outputs(Network(graph).eval(), x)
    torch.testing.assert_close(outputs(edgekit.export.to_torch(graph), x), expected)


@pytest.fixture(scope="module", params=FAMILIES)
def graph(request):
    made = build_graph(narrow(request.param), classes=6, resolution=32, seed=2)
    return pooled.quantized(prepare(made))


def test_rounded_it_computes_what_the_simulation_does(graph):
    module = edgekit.export.to_torch(graph, fake_quantize=True)
    found, expected = (outputs(m, photos(32, 8)) for m in (module, Simulation(graph).eval()))
    # A value in the middle of two integers may go to either: torch multiplies where we divide.
    assert (found - expected).abs().max() <= 3 * graph.quant[graph.output].scale[0]
    assert (found != expected).float().mean() < 0.5


@pytest.mark.parametrize("rounded", [False, True])
def test_tracers_take_it(graph, rounded):
    module = edgekit.export.to_torch(graph, fake_quantize=rounded)
    x = photos(32)
    expected = outputs(module, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit and torch.export
        traced = [torch.fx.symbolic_trace(module), torch.jit.trace(module, x)]
    for one in traced:
        torch.testing.assert_close(outputs(one, x), expected)


@pytest.mark.filterwarnings("ignore")
def test_torch_export_takes_it_for_any_number_of_photos():
    module = edgekit.export.to_torch(pooled.plain("lite0", 32))
    shapes = ({0: torch.export.Dim("n", max=64)},)
    exported = torch.export.export(module, (photos(32),), dynamic_shapes=shapes)
    x = photos(32, 3)
    torch.testing.assert_close(outputs(exported.module(), x), outputs(module, x))


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()  # torch has no other way for its fake quantization
def test_torch_export_takes_what_is_rounded():
    graph = pooled.quantized(pooled.plain("lite0", 32))
    module = edgekit.export.to_torch(graph, fake_quantize=True)
    exported = torch.export.export(module, (photos(32),))
    torch.testing.assert_close(exported.module()(photos(32)), module(photos(32)))


def test_its_code_is_a_straight_line():
    code = edgekit.export.to_torch(pooled.plain("lite0", 32)).code
    assert "for " not in code
    assert "if " not in code
    assert "self.stem(" in code


def test_the_graph_keeps_its_weights():
    graph = pooled.plain("lite0", 32)
    before = graph.weights["stem/kernel"].copy()
    with torch.no_grad():
        edgekit.export.to_torch(graph).stem.weight.zero_()
    assert np.array_equal(graph.weights["stem/kernel"], before)


def test_scales_that_each_photo_has_for_itself_are_refused():
    plain = pooled.plain("lite0", 32)
    graph = with_float_activations(plain, pooled.quantized(plain))
    with pytest.raises(UsageError, match="no scales for its activations"):
        edgekit.export.to_torch(graph, fake_quantize=True)


def test_a_tensor_without_scale_stays_as_it_is():
    graph = pooled.quantized(pooled.plain("lite0", 32))
    free = replace(graph, quant={k: v for k, v in graph.quant.items() if k != graph.output})
    code = edgekit.export.to_torch(free, fake_quantize=True).code
    assert (
        code.count("fake_quantize")
        == edgekit.export.to_torch(graph, fake_quantize=True).code.count("fake_quantize") - 1
    )
