"""Dilated convolutions in torch, and layers that have no bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from places import SHARED
from prerequisites import needs
from torch.nn import functional as F

from edgekit.calibration.reconstruction import reconstruct_blocks
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Conv2D, DepthwiseConv2D
from edgekit.networks.passes import fold_batch_norm
from edgekit.networks.torch_network import Network

ORACLE = SHARED / "oracle" / "segmentation" / "losses_metrics_ops.npz"


def network(node: Conv2D | DepthwiseConv2D, x: np.ndarray, kernel: np.ndarray) -> Graph:
    """One layer without a bias; x is NCHW, the kernel in torch's layout."""
    depthwise = isinstance(node, DepthwiseConv2D)
    ours = kernel[:, 0].transpose(1, 2, 0) if depthwise else kernel.transpose(2, 3, 1, 0)
    height, width = x.shape[2:]
    shapes = {"x": (height, width, x.shape[1]), "y": (height, width, kernel.shape[0])}
    weights = {"y/kernel": np.ascontiguousarray(ours)}
    return Graph("dilated", "x", (node,), shapes, weights)


@needs("shared", ORACLE.exists())
@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("rate", [2, 3, 12])
def test_a_dilated_convolution_is_the_published_one(rate, padding):
    with np.load(ORACLE) as stored:
        x, kernel = stored["dilated/input"], stored["dilated/kernel"]
        wanted = stored[f"dilated/conv_r{rate}"]
    node = Conv2D(
        **{"name": "y", "inputs": ("x",), "filters": 5, "kernel": 3, "dilation": rate},
        **{"padding": padding, "use_bias": False},
    )
    found = Network(network(node, x, kernel)).eval()(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


@needs("shared", ORACLE.exists())
def test_a_dilated_depthwise_convolution_is_the_published_one():
    with np.load(ORACLE) as stored:
        x, kernel = stored["dilated/input"], stored["dilated/depthwise_kernel"]
        wanted = stored["dilated/depthwise5_r2"]
    node = DepthwiseConv2D(name="y", inputs=("x",), kernel=5, dilation=2, use_bias=False)
    layer = Network(network(node, x, kernel))
    for one in (layer.train(), layer.eval()):
        found = one(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_layer_without_a_bias_has_a_kernel_alone_until_it_is_folded():
    node = Conv2D(name="y", inputs=("x",), filters=4, kernel=3, use_bias=False)
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    x = rng.normal(size=(2, 3, 8, 9)).astype(np.float32)
    graph = network(node, x, kernel)
    layer = Network(graph)
    assert [name for name, _ in layer.named_parameters()] == ["layers.y.kernel"]
    assert layer.to_graph().weights.keys() == {"y/kernel"}
    folded = fold_batch_norm(graph)
    assert folded.weights.keys() == {"y/kernel", "y/bias"}
    assert not folded.weights["y/bias"].any()
    with torch.inference_mode():
        both = [Network(one).eval()(torch.from_numpy(x)) for one in (graph, folded)]
    assert torch.equal(*both)


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 2), (5, 3), (2, 3), (4, 2)])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_zeros_are_where_the_node_says(kind, kernel, dilation, padding):
    rng = np.random.default_rng(kernel)
    x = torch.from_numpy(rng.normal(size=(1, 4, 11, 14)).astype(np.float32))
    shape = (4, 1 if kind is DepthwiseConv2D else 4, kernel, kernel)
    weight = rng.normal(size=shape).astype(np.float32)
    fields = {"filters": 4} if kind is Conv2D else {}
    node = kind(
        **{"name": "y", "inputs": ("x",), "kernel": kernel, "dilation": dilation},
        **{"padding": padding, "use_bias": False},
        **fields,
    )
    (top, bottom), (left, right) = (node.pads(side) for side in x.shape[2:])
    assert node.reach == top + bottom + 1 == left + right + 1
    groups = 4 if kind is DepthwiseConv2D else 1
    wanted = F.conv2d(
        F.pad(x, (left, right, top, bottom)),
        torch.from_numpy(weight),
        dilation=dilation,
        groups=groups,
    )
    graph = network(node, x.numpy(), weight)
    for one in (Network(graph).train(), Network(graph).eval()):
        torch.testing.assert_close(one(x).detach(), wanted, atol=1e-5, rtol=1e-5)


def test_rounding_is_learned_at_the_taps_of_a_dilated_kernel():
    from map_graphs import CASES, inputs, quantized

    graph = CASES["DepthwiseConv2D 5 dilated 3 same"]()
    coarse = quantized(graph)
    scales = tuple(20 * scale for scale in coarse.quant["node0/kernel"].scale)
    rough = replace(coarse.quant["node0/kernel"], scale=scales)
    coarse = replace(coarse, quant={**coarse.quant, "node0/kernel": rough})
    learned = reconstruct_blocks(graph, coarse, inputs(graph), task="segmentation")
    errors = [_error(graph, one) for one in (coarse, learned)]
    assert errors[1] < 0.8 * errors[0]


def _error(graph: Graph, quantized: Graph) -> float:
    from map_formats import in_torch, simulated

    return float(np.square(simulated(quantized) - in_torch(graph)).mean())


@needs("openvino")
@pytest.mark.parametrize(
    "name", ["unet logits", "aspp logits", "DepthwiseConv2D 2 dilated 3 symmetric"]
)
def test_the_network_that_nncf_trains_is_the_same(name):
    from map_formats import in_torch, nchw
    from map_graphs import CASES

    from edgekit.converters.openvino.nncf_qat import _Traceable
    from edgekit.networks.predict import to_answers

    graph = CASES[name]()
    with torch.inference_mode():
        found = to_answers(_Traceable(graph).eval()(nchw(graph)))
    np.testing.assert_allclose(found, in_torch(graph), atol=1e-5)
