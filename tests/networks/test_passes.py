"""Rewrites keep what the network computes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_graphs import Sketch

from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.nodes import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    WeightedNode,
    activation_of,
)
from edgekit.networks.passes import (
    absorb_normalization,
    expand_activations,
    fold_batch_norm,
    join_swishes,
    prepare,
    swishes,
)
from edgekit.networks.torch_network import Network


def lively(name, resolution=32, classes=4):
    """A small network whose normalizations are not the identity."""
    spec = SPECS.get(name) or scale_spec(BASELINES[name], width=0.25)
    graph = build_graph(spec, classes=classes, resolution=resolution, seed=3)
    rng = np.random.default_rng(1)
    weights = {}
    for key, array in graph.weights.items():
        suffix = key.rpartition("/")[2]
        if suffix in ("gamma", "variance"):
            array = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        elif suffix in ("beta", "mean", "bias"):
            array = rng.normal(0, 0.3, array.shape).astype(np.float32)
        weights[key] = array
    return graph.with_weights(weights)


def logits(graph, inputs):
    with torch.inference_mode():
        return Network(graph).eval()(torch.from_numpy(inputs).permute(0, 3, 1, 2)).numpy()


def photos(size=32, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["b0", "lite0", *BASELINES])
def test_prepared_networks_give_the_same_logits(name):
    graph = lively(name)
    inputs = (photos() - 127) / 128
    prepared = prepare(graph)
    expected = logits(graph, inputs)
    np.testing.assert_allclose(
        logits(prepared, inputs), expected, atol=2e-5 * np.abs(expected).max()
    )


def test_nothing_is_left_to_fold_or_expand():
    prepared = prepare(lively("b0"))
    assert all(n.batch_norm is None for n in prepared.nodes if isinstance(n, WeightedNode))
    kinds = {n.activation for n in prepared.nodes if isinstance(n, Conv2D | DepthwiseConv2D)}
    assert kinds == {"linear"}
    sigmoids = [n for n in prepared.nodes if isinstance(n, Activation)]
    # 16 squeeze-excite blocks with a swish and a sigmoid each; a swish after the stem, the
    # head, and every expansion (15) and depthwise convolution (16).
    assert len(sigmoids) == 16 * 2 + 2 + 15 + 16


def test_hard_swish_is_written_out_in_two_operators_behind_its_layer():
    graph = lively("mobilenet-v3-small")
    prepared = prepare(graph)
    swishes = [n for n in graph.nodes if activation_of(n) == "hard-swish"]
    gates = [n for n in graph.nodes if activation_of(n) == "hard-sigmoid"]
    assert len(prepared.nodes) == len(graph.nodes) + 2 * len(swishes) + len(gates)
    assert {activation_of(n) for n in prepared.nodes} == {"linear", "relu", "relu6"}
    stem = prepared.node("stem_hardswish")
    assert stem.inputs == ("stem", "stem_ramp")
    assert prepared.node("stem_ramp").activation == "relu6"


@pytest.mark.parametrize("kind", ["hard-swish", "hard-sigmoid", "swish", "sigmoid"])
def test_activations_of_a_sum_are_written_out_as_well(kind):
    sketch = Sketch(np.random.default_rng(1), (6, 6, 3))
    branch = sketch.convolution(DepthwiseConv2D, kernel=1, stride=1)
    sketch.add(Add, (6, 6, 3), branch, "input", activation=kind)
    graph, inputs = sketch.graph("sum"), (photos(6) - 127) / 16
    written = expand_activations(graph)
    assert {activation_of(node) for node in written.nodes} <= {"linear", "relu6"}
    np.testing.assert_allclose(logits(written, inputs), logits(graph, inputs), atol=1e-4)


@pytest.mark.parametrize("name", ["b0", "v2-b0"])
def test_a_swish_that_was_written_out_is_joined_again(name):
    ready = prepare(lively(name))
    products = swishes(ready)
    joined = join_swishes(ready)
    assert len(products) > 10
    assert len(joined.nodes) == len(ready.nodes) - len(products)
    swish = {n.name for n in joined.nodes if isinstance(n, Activation) and n.kind == "swish"}
    assert swish == products.keys()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(Network(joined).eval()(x), Network(ready).eval()(x))


def test_gates_that_somebody_reads_are_not_joined():
    ready = prepare(lively("b0"))
    gates = swishes(ready)
    product, gate = next(iter(gates.items()))
    assert gate in {node.name for node in join_swishes(ready, [gate]).nodes}
    reader = Activation(name="reader", inputs=(gate,), kind="sigmoid")
    shapes = {**ready.shapes, "reader": ready.shapes[gate]}
    assert product not in swishes(replace(ready, nodes=(*ready.nodes, reader), shapes=shapes))
    # Squeeze-excite's sigmoids gate another tensor than their own input.
    sigmoids = {n.name for n in ready.nodes if isinstance(n, Activation)}
    assert sigmoids - set(gates.values())


def test_lite_keeps_its_fused_activations():
    prepared = prepare(lively("lite0"))
    assert not [n for n in prepared.nodes if isinstance(n, Activation)]
    assert prepared.node("stem").activation == "relu6"


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_a_depthwise_convolution_absorbs_the_normalization_exactly(name):
    spec = SPECS[name]
    graph, pixels = fold_batch_norm(lively(name)), photos()
    absorbed, mean, std = absorb_normalization(graph, spec.mean, spec.std, "depthwise")
    expected = logits(
        graph, ((pixels - np.array(spec.mean)) / np.array(spec.std)).astype(np.float32)
    )
    got = logits(absorbed, ((pixels - mean) / std).astype(np.float32))
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_a_common_zero_is_exact_away_from_the_border():
    spec = SPECS["b0"]
    graph = fold_batch_norm(lively("b0"))
    pixels = photos(size=32, count=1)
    absorbed, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
    assert mean == round(mean)
    assert std == 1

    def stem(candidate, inputs):
        seen = {}
        with torch.inference_mode():
            Network(candidate).eval().run(
                torch.from_numpy(inputs.astype(np.float32)).permute(0, 3, 1, 2),
                lambda name, tensor: seen.setdefault(name, tensor),
            )
        return seen["stem"].numpy()

    expected = stem(graph, (pixels - np.array(spec.mean)) / np.array(spec.std))
    got = stem(absorbed, (pixels - mean) / std)
    # At stride 2 and an even size, SAME pads one row and one column, at the far end.
    np.testing.assert_allclose(got[..., :-1, :-1], expected[..., :-1, :-1], atol=2e-4)
    assert np.abs(got[..., -1, :] - expected[..., -1, :]).max() > 1e-3


def test_a_common_integer_mean_needs_no_change():
    graph = fold_batch_norm(lively("lite0"))
    same, mean, std = absorb_normalization(graph, (127.0,) * 3, (128.0,) * 3, "depthwise")
    assert same is graph
    assert (mean, std) == (127.0, 128.0)


@pytest.mark.parametrize("method", ["depthwise", "common-zero"])
def test_a_broken_mean_is_absorbed(method):
    graph, pixels = fold_batch_norm(lively("lite0")), photos()
    absorbed, mean, std = absorb_normalization(graph, (127.5,) * 3, (127.5,) * 3, method)
    assert mean == round(mean)
    expected = logits(graph, (pixels - 127.5) / np.float32(127.5))
    got = logits(absorbed, (pixels - np.float32(mean)) / np.float32(std))
    tolerance = 1e-4 if method == "depthwise" else 0.1
    np.testing.assert_allclose(got, expected, atol=tolerance * np.abs(expected).max())
