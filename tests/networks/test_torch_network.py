"""The torch module computes what the Graph says."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Add, AveragePool2D, Conv2D, DepthwiseConv2D, Flatten
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network, _pad


@pytest.fixture(scope="module")
def graph():
    return build_graph(SPECS["b0"], classes=5, resolution=32)


@pytest.mark.parametrize("side", [7, 8, 15, 32])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_padding(side, kernel, stride, padding):
    x = torch.randn(1, 2, side, side)
    node = Conv2D(
        name="conv", inputs=("x",), filters=3, kernel=kernel, stride=stride, padding=padding
    )
    weights = torch.randn(3, 2, kernel, kernel)
    own, padded = _pad(x, node)
    got = F.conv2d(padded, weights, stride=stride, padding=own)
    if padding == "symmetric":  # as torch's own convolution does it
        expected = F.conv2d(x, weights, stride=stride, padding=kernel // 2)
    else:  # the definition: out = ceil(in / stride), the odd pixel of padding at the far end
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        near = total // 2
        expected = F.conv2d(F.pad(x, (near, total - near) * 2), weights, stride=stride)
    assert got.shape[-1] == -(-side // stride)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("side", [1, 2, 4, 5])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_widened_maps_give_the_same_sums_and_gradients(side, kernel, stride):
    node = DepthwiseConv2D(name="dw", inputs=("x",), kernel=kernel, stride=stride)
    rng = np.random.default_rng(0)
    weights = {"dw/kernel": rng.normal(size=(kernel, kernel, 3)), "dw/bias": rng.normal(size=3)}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    out = -(-side // stride)
    shapes = {"x": (side, side, 3), "dw": (out, out, 3)}
    layer = Network(Graph("small", "x", (node,), shapes, weights)).layers["dw"]
    x = torch.randn(2, 3, side, side, requires_grad=True)
    found = []
    for training in (False, True):  # only training widens
        layer.train(training)
        y = layer(x)
        y.square().sum().backward()
        found.append((y.detach(), x.grad.clone(), layer.kernel.grad.clone()))
        x.grad = layer.kernel.grad = None
    assert found[0][0].shape[2:] == (out, out)
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (2, 3), (6, 6)])
def test_a_pool_takes_the_mean_of_windows_side_by_side(kernel):
    x = torch.randn(2, 5, 6, 6)
    rows, columns = 6 // kernel[0], 6 // kernel[1]
    node = AveragePool2D(name="pool", inputs=("x",), kernel=kernel)
    graph = Graph("small", "x", (node,), {"x": (6, 6, 5), "pool": (rows, columns, 5)}, {})
    expected = x.reshape(2, 5, rows, kernel[0], columns, kernel[1]).mean((3, 5))
    torch.testing.assert_close(Network(graph)(x), expected)


def test_a_flattened_pixel_is_a_vector():
    nodes = (Flatten(name="vector", inputs=("x",)),)
    x = torch.randn(2, 5, 1, 1)
    found = Network(Graph("small", "x", nodes, {"x": (1, 1, 5), "vector": (5,)}, {}))(x)
    assert torch.equal(found, x[:, :, 0, 0])


def test_weights_come_back_as_they_went_in(graph):
    back = Network(graph).to_graph()
    assert back.nodes == graph.nodes
    for name, array in graph.weights.items():
        np.testing.assert_array_equal(back.weights[name], array)


def test_shapes_are_those_of_the_graph(graph):
    seen = {}

    def tap(name, tensor):
        seen[name] = tuple(tensor.permute(0, 2, 3, 1).shape if tensor.dim() == 4 else tensor.shape)
        return tensor

    with torch.inference_mode():
        Network(graph).eval().run(torch.zeros(2, 3, 32, 32), tap)
    assert seen == {name: (2, *shape) for name, shape in graph.shapes.items()}


def test_channels_last_changes_nothing(graph):
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = Network(graph).eval()(x)
        got = place(Network(graph), "cpu").eval()(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_without_gradients_every_tensor_is_the_same_and_none_changes_later(graph):
    network = Network(graph).eval()
    x = torch.randn(2, 3, 32, 32)
    learning, inferring, copies = {}, {}, {}

    def tap(name, tensor):
        inferring[name], copies[name] = tensor, tensor.clone()
        return tensor

    network.run(x, lambda name, tensor: learning.setdefault(name, tensor))
    with torch.inference_mode():
        network.run(x, tap)
    for name, expected in learning.items():
        assert torch.equal(inferring[name], expected)
        assert torch.equal(inferring[name], copies[name])


def test_a_tap_replaces_tensors(graph):
    zero = lambda name, tensor: tensor * 0 if name == "pool" else tensor  # noqa: E731
    with torch.inference_mode():
        got = Network(graph).eval().run(torch.randn(2, 3, 32, 32), zero)
    np.testing.assert_array_equal(got, np.broadcast_to(graph.weights["logits/bias"], (2, 5)))


def test_drop_connect_drops_whole_branches_and_keeps_the_mean(graph):
    network = Network(graph).train()
    torch.manual_seed(0)
    x = torch.ones(4000, 1, 2, 2)
    dropped = network.drop_branch(x, 0.2)
    kept = dropped[:, 0, 0, 0] != 0
    assert kept.float().mean() == pytest.approx(0.8, abs=0.03)
    assert dropped.mean() == pytest.approx(1.0, abs=0.03)
    torch.testing.assert_close(dropped[kept], torch.full_like(dropped[kept], 1.25))
    assert torch.equal(network.eval().drop_branch(x, 0.2), x)


def test_drop_connect_rises_with_depth(graph):
    rates = [node.drop_connect for node in graph.nodes if isinstance(node, Add)]
    # 16 blocks; the first that has a shortcut is the third, the last the fifteenth.
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(0.2 * 2 / 16)
    assert rates[-1] == pytest.approx(0.2 * 14 / 16)


def test_training_is_random_and_evaluation_is_not(graph):
    x = torch.randn(2, 3, 32, 32)
    network = Network(graph)
    network.train()
    assert not torch.equal(network(x), network(x))
    network.eval()
    with torch.inference_mode():
        assert torch.equal(network(x), network(x))


def test_gradients_reach_every_parameter(graph):
    network = Network(graph).train()
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None]
    assert not dead
