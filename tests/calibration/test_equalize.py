"""Equalization evens channels out, and the network computes what it computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgekit.calibration.equalize import (
    BOUND,
    Group,
    channel_extremes,
    choose_factors,
    equalize,
    groups,
    rescale,
)
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Mul,
    WeightedNode,
)
from edgekit.networks.passes import prepare
from edgekit.networks.torch_network import Network
from edgekit.targets.edgetpu.passes import pool_globally, split_large_means

CHANNELS = 6
MARGIN = 0.1
NETWORKS = pytest.mark.parametrize(
    ("name", "resolution"), [("lite0", 32), ("b0", 32), ("v2-b0", 64)]
)


def uneven(name, resolution=32):
    """A prepared network whose channels have very different ranges, with the statistics of photos.

    Without the statistics, values would grow from layer to layer until rounding is all there is.
    """
    graph = build_graph(SPECS[name], classes=5, resolution=resolution, seed=3)
    rng = np.random.default_rng(4)
    weights = dict(graph.weights)
    for key, array in graph.weights.items():
        if key.endswith("/gamma"):
            weights[key] = np.exp(rng.normal(0, 1, array.shape)).astype(np.float32)
        elif key.endswith("/beta"):
            weights[key] = rng.normal(0, 0.5, array.shape).astype(np.float32)
    network = Network(graph.with_weights(weights), bn_momentum=1.0).train()
    network.drop_connect = False
    with torch.no_grad():
        network(torch.from_numpy(photos(graph, 32, seed=9)).permute(0, 3, 1, 2))
    return prepare(network.to_graph())


def photos(graph, count=6, seed=0):
    shape = (count, *graph.shapes[graph.input])
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def run(graph, inputs):
    with torch.inference_mode():
        return Network(graph).eval()(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()


def assert_same(graph, other, inputs, share=2e-5):
    """The answers differ by no more than a share of the largest."""
    expected = run(graph, inputs)
    np.testing.assert_allclose(
        run(other, inputs), expected, rtol=0, atol=share * np.abs(expected).max()
    )


def extremes_of(graph, inputs):
    return channel_extremes(graph, [inputs], [t for group in groups(graph) for t in group.tensors])


def unevenness(extremes):
    """How far a channel's range lies below its tensor's on the mean, in powers of two."""
    ranges = extremes[extremes > 0]
    return float(np.mean(np.log2(ranges.max() / ranges)))


def random_weights(nodes, side=5):
    """A Graph of the nodes: 3 channels in, and `CHANNELS` of very different sizes elsewhere."""
    rng = np.random.default_rng(1)
    shapes, weights = {"input": (side, side, 3)}, {}
    for node in nodes:
        *space, into = shapes[node.inputs[0]]
        shapes[node.name] = (*space, into)
        if isinstance(node, Mean):
            shapes[node.name] = (1, 1, into) if node.keep_dims else (into,)
        if not isinstance(node, WeightedNode):
            continue
        match node:
            case FullyConnected():
                shape = (into, node.units)
            case DepthwiseConv2D():
                shape = (node.kernel, node.kernel, into)
            case _:
                shape = (node.kernel, node.kernel, into, node.filters)
        shapes[node.name] = (*space, shape[-1])
        spread = np.exp(rng.normal(0, 1.5, shape[-1]))
        weights[f"{node.name}/kernel"] = (rng.normal(size=shape) * spread).astype(np.float32)
        weights[f"{node.name}/bias"] = (rng.normal(size=shape[-1]) * spread).astype(np.float32)
    return Graph("small", "input", tuple(nodes), shapes, weights)


def small(activation="relu"):
    """A block of three layers, two of them with an activation, a shortcut and a classifier."""
    nodes = (
        Conv2D(name="stem", inputs=("input",), filters=CHANNELS, kernel=3),
        Conv2D(name="a", inputs=("stem",), filters=CHANNELS, activation=activation),
        DepthwiseConv2D(name="b", inputs=("a",), kernel=3, activation=activation),
        Conv2D(name="c", inputs=("b",), filters=CHANNELS),
        Add(name="sum", inputs=("c", "stem")),
        Mean(name="pool", inputs=("sum",), keep_dims=False),
        FullyConnected(name="logits", inputs=("pool",), units=3),
    )
    return random_weights(nodes)


@NETWORKS
def test_the_network_computes_the_same(name, resolution):
    graph = uneven(name, resolution)
    inputs = photos(graph)
    equal = equalize(graph, extremes_of(graph, inputs), margin=MARGIN)
    assert any(not np.array_equal(equal.weights[n], graph.weights[n]) for n in graph.weights)
    assert (equal.nodes, equal.shapes) == (graph.nodes, graph.shapes)
    # Some fifty layers of untrained weights make a good deal of float32 rounding.
    assert_same(graph, equal, inputs, share=5e-4)
    assert run(graph, inputs).std(0).min() > 0.1  # photos do tell answers apart


@NETWORKS
def test_rounding_is_all_that_differs(name, resolution):
    """Powers of two scale floats without rounding: nothing at all may change."""
    graph = uneven(name, resolution)
    inputs = photos(graph)
    scalings = [
        # Upwards, so that no ReLU6 loses its room.
        replace(scaling, factors=2 ** np.ceil(np.log2(scaling.factors)))
        for scaling in choose_factors(graph, extremes_of(graph, inputs), margin=MARGIN)
    ]
    assert all((scaling.factors != 1).any() for scaling in scalings)
    equal = rescale(graph, scalings)
    np.testing.assert_allclose(run(equal, inputs), run(graph, inputs), rtol=1e-6)


@pytest.mark.parametrize("name", ["lite0", "es", "v2-b0"])
def test_channels_are_more_even(name):
    graph = uneven(name)
    inputs = photos(graph)
    before = extremes_of(graph, inputs)
    after = extremes_of(equalize(graph, before, alpha=0.75, margin=MARGIN), inputs)
    assert before.keys() == after.keys()
    spreads = [np.mean([unevenness(one) for one in some.values()]) for some in (before, after)]
    assert spreads[1] < 0.7 * spreads[0]


def test_without_a_margin_the_network_is_the_same_for_every_input():
    graph = uneven("lite0")
    equal = equalize(graph, extremes_of(graph, photos(graph)))
    assert not np.array_equal(
        equal.weights["block1a_project/kernel"], graph.weights["block1a_project/kernel"]
    )
    assert_same(graph, equal, 10 * photos(graph, seed=1), share=5e-4)


def test_groups_follow_ties_and_stop_at_input_and_output():
    assert groups(small()) == [
        Group(("stem", "c", "sum", "pool"), ("stem", "c"), ("a", "logits")),
        Group(("a",), ("a",), ("b",)),
        Group(("b",), ("b",), ("c",)),
    ]
    assert [group.clipped for group in groups(small("relu6"))] == [(), ("a",), ("b",)]
    embedding = replace(small(), nodes=small().nodes[:5])  # the sum is the output: its chain stays
    assert [group.tensors for group in groups(embedding)] == [("a",), ("b",)]


def test_factors_pass_pools_as_they_pass_means():
    graph = small()
    assert split_large_means(graph, 1000) == graph
    for changed in (pool_globally(graph), pool_globally(uneven("lite0", 64))):
        inputs = photos(changed)
        tensors = next(g.tensors for g in groups(changed) if "pool" in g.tensors)
        assert tensors[-2:] == ("pool_average", "pool")
        equal = equalize(changed, extremes_of(changed, inputs), margin=MARGIN)
        assert not np.array_equal(equal.weights["logits/kernel"], changed.weights["logits/kernel"])
        assert_same(changed, equal, inputs, share=5e-4)


def test_a_swish_network_keeps_its_residual_chains():
    found = groups(prepare(build_graph(SPECS["b0"], classes=5, resolution=32, seed=0)))
    assert all("project" in name for group in found for name in group.writers)
    assert ("block3a_project", "block3b_project", "block3b_add") in [g.tensors for g in found]
    assert len(found) == 7  # one per stage


@pytest.mark.parametrize("kind", ["sigmoid", "relu6"])
def test_a_written_out_activation_lets_nothing_through(kind):
    """With a sigmoid this is the swish: what it reads stays, and so does what is tied to it."""
    nodes = (
        Conv2D(name="stem", inputs=("input",), filters=CHANNELS),
        Conv2D(name="a", inputs=("stem",), filters=CHANNELS),
        Activation(name="act", inputs=("a",), kind=kind),
        Mul(name="product", inputs=("a", "act")),
        Add(name="sum", inputs=("product", "product")),
        Mean(name="pool", inputs=("sum",), keep_dims=False),
        FullyConnected(name="logits", inputs=("pool",), units=3),
    )
    assert [group.tensors for group in groups(random_weights(nodes))] == [("stem",)]


def test_a_product_passes_factors_through_what_is_gated():
    nodes = (
        Conv2D(name="stem", inputs=("input",), filters=CHANNELS),
        Mean(name="pooled", inputs=("input",), keep_dims=True),
        Conv2D(name="gate", inputs=("pooled",), filters=CHANNELS),
        Activation(name="open", inputs=("gate",), kind="sigmoid"),
        Mul(name="product", inputs=("stem", "open")),
        Activation(name="positive", inputs=("product",), kind="relu"),
        Mean(name="pool", inputs=("positive",), keep_dims=False),
        FullyConnected(name="logits", inputs=("pool",), units=3),
    )
    graph = random_weights(nodes)
    assert [group.tensors for group in groups(graph)] == [("stem", "product", "positive", "pool")]
    inputs = photos(graph)
    equal = equalize(graph, extremes_of(graph, inputs))
    assert np.array_equal(equal.weights["gate/kernel"], graph.weights["gate/kernel"])
    assert not np.array_equal(equal.weights["stem/kernel"], graph.weights["stem/kernel"])
    assert_same(graph, equal, inputs)


def test_relu_channels_become_even():
    """A tensor that only a depthwise layer reads costs nothing to even out: all ranges agree."""
    graph = small()
    inputs = photos(graph)
    equal = equalize(graph, extremes_of(graph, inputs))
    after = extremes_of(equal, inputs)["a"]
    np.testing.assert_allclose(after[after > 0], after.max(), rtol=1e-4)
    assert_same(graph, equal, inputs)


def test_a_relu6_channel_is_scaled_up_as_far_as_it_has_room():
    graph = small("relu6")
    kernel = graph.weights["a/kernel"] / np.array([1, 20, 20, 20, 20, 400], np.float32)
    bias = graph.weights["a/bias"] / np.array([1, 20, 20, 20, 20, 400], np.float32)
    graph = graph.with_weights({**graph.weights, "a/kernel": kernel, "a/bias": bias})
    inputs = photos(graph)
    before = extremes_of(graph, inputs)
    room = (before["a"] > 6 / BOUND) & (before["a"] < 6 * (1 - MARGIN))
    full = before["a"] >= 6
    assert room.any()
    assert full.any()
    equal = equalize(graph, before, margin=MARGIN)
    after = extremes_of(equal, inputs)["a"]
    np.testing.assert_array_equal(after[full], 6)
    np.testing.assert_allclose(after[room], 6 * (1 - MARGIN), rtol=1e-5)
    assert_same(graph, equal, inputs)
    (a,) = (s for s in choose_factors(graph, before, margin=MARGIN) if s.group.clipped == ("a",))
    assert a.factors.max() == 1


def test_dead_channels_are_safe():
    graph = small()
    silent, unread, both = 0, 1, 2
    weights = {name: array.copy() for name, array in graph.weights.items()}
    for layer in ("a", "b"):
        for channel in (silent, both):
            weights[f"{layer}/kernel"][..., channel] = 0
            weights[f"{layer}/bias"][channel] = 0
    weights["b/bias"][unread] = 5  # it has values
    weights["c/kernel"][:, :, [unread, both]] = 0
    graph = graph.with_weights(weights)
    inputs = photos(graph)
    before = extremes_of(graph, inputs)
    factors = {s.group.tensors: s.factors for s in choose_factors(graph, before)}
    for values in factors.values():
        assert np.isfinite(values).all()
        assert values.min() >= 1 / BOUND
        assert values.max() <= BOUND
    assert factors[("b",)][[silent, unread, both]].tolist() == [1, BOUND, 1]
    assert_same(graph, equalize(graph, before), inputs)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_a_network_whose_channels_are_all_dead_stays(activation):
    graph = small(activation)
    graph = graph.with_weights({name: np.zeros_like(a) for name, a in graph.weights.items()})
    for scaling in choose_factors(graph, extremes_of(graph, photos(graph)), margin=MARGIN):
        assert (scaling.factors == 1).all()
        record = scaling.to_dict()
        assert (record["smallest"], record["largest"], record["changed"]) == (1, 1, 0)


def test_alpha_weighs_activations_against_kernels():
    """At 1 the ranges agree; at 0 the readers' weights do."""
    nodes = (
        Conv2D(name="stem", inputs=("input",), filters=CHANNELS, activation="relu"),
        Conv2D(name="a", inputs=("stem",), filters=CHANNELS),
        Mean(name="pool", inputs=("a",), keep_dims=False),
        FullyConnected(name="logits", inputs=("pool",), units=3),
    )
    graph = random_weights(nodes)
    inputs = photos(graph)
    extremes = extremes_of(graph, inputs)
    live = extremes["stem"] > 0
    assert live.sum() > 2
    after = extremes_of(equalize(graph, extremes, alpha=1), inputs)["stem"]
    np.testing.assert_allclose(after[live], after.max(), rtol=1e-4)
    (stem, *_) = choose_factors(graph, extremes, alpha=0)
    kernel = np.abs(graph.weights["a/kernel"][0, 0])
    weights = (kernel / kernel.max(0)).max(1) * stem.factors
    np.testing.assert_allclose(weights[live], weights[live][0], rtol=1e-4)


def test_extremes_are_the_same_in_batches_of_any_size():
    graph = uneven("lite0")
    inputs = photos(graph)
    whole = extremes_of(graph, inputs)
    parts = channel_extremes(graph, [inputs[:2], inputs[2:]], whole)
    assert parts.keys() == whole.keys()
    for name, largest in whole.items():
        assert largest.shape == graph.shapes[name][-1:]
        np.testing.assert_allclose(parts[name], largest, rtol=1e-3, atol=1e-4)


def test_bad_input_is_an_error():
    graph = small()
    extremes = extremes_of(graph, photos(graph))
    with pytest.raises(UsageError, match="no values of 'nowhere'"):
        channel_extremes(graph, [photos(graph)], ["nowhere"])
    with pytest.raises(UsageError, match="no values of 'a'"):
        channel_extremes(graph, [], ["a"])
    with pytest.raises(EdgekitError, match="'a' holds NaN"):
        channel_extremes(graph, [photos(graph) * np.nan], ["a"])
    with pytest.raises(UsageError, match="no extremes of 'b'"):
        equalize(graph, {name: array for name, array in extremes.items() if name != "b"})
    for wrong in ({"alpha": 1.5}, {"margin": 1.0}, {"alpha": float("nan")}):
        with pytest.raises(UsageError, match="not between 0 and 1"):
            equalize(graph, extremes, **wrong)
    with pytest.raises(UsageError, match="batch normalization"):
        groups(build_graph(SPECS["b0"], classes=3, resolution=32, seed=0))
