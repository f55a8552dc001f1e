"""The Edge TPU's rewrites keep what a network computes, and go no further than they must."""

import numpy as np
import pytest
import torch
from pooled import LIMIT, inputs, plain, pooled

from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.edit import without_classifier
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import AveragePool2D, Flatten, Mean
from edgekit.networks.passes import expand_activations
from edgekit.networks.torch_network import Network
from edgekit.targets import registry
from edgekit.targets.edgetpu.operators import MAX_MEAN
from edgekit.targets.edgetpu.passes import pool_globally, prepare, split_large_means


def answers(graph, side=64):
    with torch.inference_mode():
        photos = torch.from_numpy(inputs(3, side)).permute(0, 3, 1, 2)
        return Network(graph).eval()(photos).numpy()


def kinds(graph):
    found = [node for node in graph.nodes if isinstance(node, Mean | AveragePool2D | Flatten)]
    return [(type(node).__name__, node.name) for node in found]


@pytest.mark.parametrize("name", ["b0", "lite0", "es"])
@pytest.mark.parametrize("cut", [lambda graph: graph, without_classifier], ids=["whole", "none"])
def test_a_rewritten_network_gives_the_same_answers(name, cut):
    graph = cut(plain(name))
    rewritten = pool_globally(split_large_means(graph, 64))
    assert rewritten.nodes != graph.nodes
    expected = answers(graph)
    found = answers(rewritten)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert (rewritten.output, rewritten.weights) == (graph.output, graph.weights)
    assert cost(rewritten).macs == cost(graph).macs


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_the_shapes_are_those_of_the_network(name):
    graph = pooled(name)
    seen = {}

    def tap(key, tensor):
        seen[key] = tuple(tensor.permute(0, 2, 3, 1).shape if tensor.dim() == 4 else tensor.shape)
        return tensor

    with torch.inference_mode():
        Network(graph).eval().run(torch.zeros(2, 3, 64, 64), tap)
    assert seen == {key: (2, *graph.shapes[key]) for key in seen}
    assert seen.keys() == graph.shapes.keys()


def test_only_means_over_large_maps_are_split():
    graph = split_large_means(plain("b0"), LIMIT)
    assert kinds(graph)[:3] == [
        ("AveragePool2D", "block1a_se_squeeze_pool"),
        ("Mean", "block1a_se_squeeze"),
        ("Mean", "block2a_se_squeeze"),
    ]
    pool = graph.node("block1a_se_squeeze_pool")
    assert (pool.kernel, graph.shapes[pool.name]) == ((2, 2), (16, 16, 8))
    assert [name for name, _ in kinds(graph)].count("AveragePool2D") == 1


def test_the_last_mean_becomes_a_pool():
    graph = pool_globally(plain("lite0"))
    assert kinds(graph) == [("AveragePool2D", "pool_average"), ("Flatten", "pool")]
    assert graph.node("pool_average").kernel == (2, 2)
    assert [graph.shapes[name] for name in ("pool_average", "pool")] == [(1, 1, 1280), (1280,)]


@pytest.mark.parametrize(
    ("name", "pools"),
    [("lite0", True), ("lite4", True), ("es", True), ("b0", False), ("v2-b0", False)],
)
def test_networks_without_gates_get_googles_pool(name, pools):
    """Published variants at their own resolution; none has a mean that cannot be divided."""
    graph = expand_activations(build_graph(SPECS[name], seed=None))
    last = prepare(graph).node("pool")
    assert isinstance(last, Flatten) == pools


@pytest.mark.parametrize("name", SPECS)
def test_every_published_resolution_can_be_prepared(name):
    graph = prepare(expand_activations(build_graph(SPECS[name], seed=None)))
    for node in graph.nodes:
        if isinstance(node, Mean):
            height, width, _ = graph.shapes[node.inputs[0]]
            assert height * width <= MAX_MEAN
        if isinstance(node, AveragePool2D):
            height, width, _ = graph.shapes[node.inputs[0]]
            assert (height % node.kernel[0], width % node.kernel[1]) == (0, 0)


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_a_second_time_changes_nothing(name):
    once = prepare(plain(name))
    assert prepare(once) == once
    split = split_large_means(plain(name), 64)
    assert split_large_means(split, 64) == split


def map_of(height, width):
    nodes = (Mean(name="mean", inputs=("x",), keep_dims=True),)
    return Graph("map", "x", nodes, {"x": (height, width, 8), "mean": (1, 1, 8)}, {})


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(64, 128, None), (112, 112, 2), (190, 190, 5), (228, 228, 3), (300, 300, 4), (90, 96, 2)],
)
def test_windows_are_the_smallest_that_serve(height, width, side):
    graph = split_large_means(map_of(height, width))
    found = [node.kernel for node in graph.nodes if isinstance(node, AveragePool2D)]
    assert found == ([(side, side)] if side else [])


@pytest.mark.parametrize("sides", [(97, 97), (194, 194), (112, 113)])
def test_maps_that_no_window_divides_are_refused(sides):
    with pytest.raises(UsageError) as caught:
        split_large_means(map_of(*sides))
    assert f"'mean' over a map of {sides[0]}x{sides[1]}" in caught.value.message


def test_the_refusal_advises_resolutions_that_work():
    graph = expand_activations(build_graph(SPECS["b0"], resolution=193, seed=None))
    with pytest.raises(UsageError, match="'block1a_se_squeeze' over a map of 97x97") as caught:
        prepare(graph)
    assert caught.value.hint == "a resolution of 192 or 224"
    for resolution in (192, 224):
        prepare(expand_activations(build_graph(SPECS["b0"], resolution=resolution, seed=None)))


def test_targets_prepare_as_they_need():
    graph = plain("lite0")
    assert registry.find("tflite").prepare(graph) is graph
    assert registry.find("edgetpu").prepare(graph) == prepare(graph)
