"""What is rewritten for the sensor computes the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pooled
import pytest
import torch
from narrow import narrow

from edgekit.converters.torch.builder import build
from edgekit.converters.torch.plan import make_plan
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import Activation, Mul
from edgekit.networks.passes import fold_batch_norm, prepare
from edgekit.networks.torch_network import Network
from edgekit.targets.imx500.network import fuse_swish, make_bytes_plan

SIDE = 32
IMAGENET = Preprocessing(SIDE, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), tuple("abcdef"))


UNIFORM = replace(IMAGENET, mean=(127.0,) * 3, std=(128.0,) * 3)


@torch.no_grad()
def outputs(graph, x):
    return Network(graph).eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()


@torch.no_grad()
def on_bytes(graph, preprocessing, pixels):
    plan = make_bytes_plan(graph, preprocessing)
    x = torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2)
    return build(plan.steps, plan.arrays)(x).numpy()


@pytest.mark.parametrize("side", [SIDE, SIDE + 1])
@pytest.mark.parametrize("name", pooled.VARIANTS)
def test_it_takes_bytes(name, side):
    graph, pixels = pooled.plain(name, side), pooled.pixels(2, side)
    expected = outputs(graph, UNIFORM.normalize(pixels))
    np.testing.assert_allclose(on_bytes(graph, UNIFORM, pixels), expected, 1e-3, 1e-4)


def test_where_means_differ_only_the_border_differs():
    graph = pooled.plain("lite0", SIDE)
    first = replace(graph, nodes=graph.nodes[:1])
    pixels = pooled.pixels(2, SIDE)
    expected = outputs(first, IMAGENET.normalize(pixels))
    found = on_bytes(first, IMAGENET, pixels)
    np.testing.assert_allclose(found[..., :-1, :-1], expected[..., :-1, :-1], 1e-3, 1e-4)


def test_a_quantized_network_has_a_normalization_of_its_own():
    graph, pixels = pooled.quantized(pooled.plain("lite0", SIDE)), pooled.pixels(2, SIDE)
    expected = outputs(graph, pooled.inputs(2, SIDE))
    np.testing.assert_allclose(on_bytes(graph, IMAGENET, pixels), expected, 1e-3, 1e-4)


def test_an_input_that_takes_bytes_already_is_left_as_it_is():
    graph = pooled.plain("lite0", SIDE)
    plain = replace(IMAGENET, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert make_bytes_plan(graph, plain).steps == make_plan(graph).steps


def test_swish_is_put_together_again():
    graph = build_graph(narrow("b0"), classes=6, resolution=SIDE)
    folded, fused = fold_batch_norm(graph), fuse_swish(prepare(graph))
    layers = [node for node in fused.nodes if not isinstance(node, Activation)]  # the gates
    assert [node.name for node in layers] == [node.name for node in folded.nodes]
    swished = [
        [node.name for node in nodes if getattr(node, "activation", None) == "swish"]
        for nodes in (folded.nodes, layers)
    ]
    assert swished[0] == swished[1] != []


def test_the_product_of_squeeze_and_excite_stays():
    fused = fuse_swish(pooled.plain("b0", SIDE))
    kinds = [type(node) for node in fused.nodes]
    assert kinds.count(Mul) == kinds.count(Activation) > 0
