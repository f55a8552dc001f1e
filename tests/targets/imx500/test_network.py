"""What is rewritten for the sensor computes the same."""

from __future__ import annotations

import numpy as np
import pooled
import pytest
import torch
from narrow import narrow

from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import Activation, Mul
from edgekit.networks.passes import fold_batch_norm, prepare
from edgekit.networks.torch_network import Network
from edgekit.targets.imx500.network import fuse_swish, rewrite

SIDE = 32
IMAGENET = Preprocessing(SIDE, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), tuple("abcdef"))


@torch.no_grad()
def outputs(graph, x):
    return Network(graph).eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()


@pytest.mark.parametrize("name", ["b0", "lite0", "v2-b0"])
def test_it_takes_bytes(name):
    graph = pooled.plain(name, SIDE) if name in pooled.VARIANTS else small(name)
    pixels = pooled.pixels(2, SIDE)
    found = outputs(rewrite(graph, IMAGENET), pixels.astype(np.float32))
    np.testing.assert_allclose(found, outputs(graph, IMAGENET.normalize(pixels)), 1e-4, 1e-5)


def small(name):
    return prepare(build_graph(narrow(name), classes=6, resolution=SIDE))


def test_a_quantized_network_has_a_normalization_of_its_own():
    graph = pooled.quantized(pooled.plain("lite0", SIDE))
    pixels = pooled.pixels(2, SIDE)
    expected = outputs(graph, pooled.inputs(2, SIDE))
    found = outputs(rewrite(graph, IMAGENET), pixels.astype(np.float32))
    np.testing.assert_allclose(found, expected, 1e-4, 1e-5)
    assert not rewrite(graph, IMAGENET).quant


def test_an_input_that_takes_bytes_already_is_left_as_it_is():
    graph = pooled.plain("lite0", SIDE)
    plain = Preprocessing(SIDE, (0.0,) * 3, (1.0,) * 3, tuple("abcdef"))
    assert rewrite(graph, plain).nodes == graph.nodes


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
