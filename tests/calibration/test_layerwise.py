"""The walk through a network, layer by layer, that the repairs share."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.calibration.layerwise import photos_for, repair_layers
from edgekit.calibration.quantize import choose_ranges, collect, fixed_ranges, quantize
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.nodes import WeightedNode
from edgekit.networks.passes import prepare

SIZE = 32
INPUTS = np.random.default_rng(0).uniform(-1, 1, (6, SIZE, SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["lite0", "b0"])
def test_a_repair_sees_every_layer_once_and_what_it_gives_is_kept(name):
    graph = prepare(build_graph(narrow(name, depth=1.0), classes=4, resolution=SIZE, seed=2))
    fixed = fixed_ranges(graph, 127, 128)
    ranges = choose_ranges(collect(graph, [INPUTS], skip=fixed), "minmax")
    quantized = quantize(graph, {**ranges, **fixed})
    seen, progress = [], []

    def repair(layer):
        seen.append(layer.node.name)
        assert layer.wanted.shape == layer.found.shape == torch.Size([6, *layer.found.shape[1:]])
        # Errors are those of 8 bits: small beside what is rounded.
        assert (layer.found - layer.wanted).abs().mean() < 0.2 * layer.wanted.std()
        bias = quantized.weights[f"{layer.node.name}/bias"]
        return np.full_like(bias, 7), layer.wanted.clone()

    repaired = repair_layers(
        graph, quantized, INPUTS, repair, advance=lambda *done: progress.append(done)
    )
    weighted = [node.name for node in graph.nodes if isinstance(node, WeightedNode)]
    assert seen == weighted
    assert progress[-1] == (len(graph.nodes), len(graph.nodes))
    assert all((repaired.weights[f"{name}/bias"] == 7).all() for name in weighted)
    assert repaired.quant == quantized.quant


def test_slopes_are_those_of_the_activations():
    graph = prepare(build_graph(narrow("b0", depth=1.0), classes=4, resolution=SIZE, seed=2))
    fixed = fixed_ranges(graph, 127, 128)
    ranges = choose_ranges(collect(graph, [INPUTS], skip=fixed), "minmax")
    quantized = quantize(graph, {**ranges, **fixed})
    slopes = {}

    def repair(layer):
        slope = layer.slope(layer.wanted)
        if slope is not None:
            y = layer.wanted.clone().requires_grad_()
            swish = not layer.node.name.endswith("_se_expand")
            (y * y.sigmoid() if swish else y.sigmoid()).sum().backward()
            slopes[layer.node.name] = (slope - y.grad).abs().max().item()
        return quantized.weights[f"{layer.node.name}/bias"], layer.found.clone()

    repair_layers(graph, quantized, INPUTS, repair)
    assert len(slopes) > 40
    assert max(slopes.values()) < 1e-5
    assert any(name.endswith("_se_expand") for name in slopes)


def test_a_large_network_gets_fewer_photos():
    small = build_graph(SPECS["lite0"], resolution=64, seed=None)
    assert photos_for(small) == 64
    assert photos_for(small, 128) == 128
    large = build_graph(SPECS["b7"], seed=None)
    assert 8 <= photos_for(large) < 32
    assert photos_for(replace(large, name="same")) == photos_for(large)
