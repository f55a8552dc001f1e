"""Freshly drawn detectors, and class predictors for other classes."""

import math

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.detection.drawn import replace_classes
from edgekit.networks.edit import start_as_shortcuts
from edgekit.networks.efficientnet.architecture import build_graph, with_classes
from edgekit.networks.efficientnet.backbone import is_backbone
from edgekit.networks.torch_network import Network

SPEC = narrow("lite0").with_decoder(EfficientDet(32, 1, 1, "sum"))
PRIOR = -math.log(0.99 / 0.01)


@pytest.fixture(scope="module")
def graph():
    return build_graph(SPEC, classes=5, resolution=64, seed=1)


def test_every_score_begins_at_a_hundredth_and_every_box_at_its_anchor(graph):
    assert (graph.weights["class_p3/bias"] == np.float32(PRIOR)).all()
    assert not graph.weights["box_p3/bias"].any()
    with torch.inference_mode():
        out = Network(graph).eval()(torch.rand(1, 3, 64, 64) * 2 - 1)
    scores = out[..., 4:].sigmoid()
    assert scores.min() > 0.005
    assert scores.max() < 0.02
    assert out[..., :4].abs().max() < 0.1


def test_kernels_of_heads_have_a_variance_of_one_over_fan_in_without_tails(graph):
    kernel = graph.weights["class_p3/kernel"]  # 32 x 45
    deviation = math.sqrt(1 / 32)
    assert kernel.std() == pytest.approx(deviation, rel=0.05)
    assert np.abs(kernel).max() <= 2 * deviation / 0.8796 + 1e-6
    depthwise = graph.weights["class_p3_conv1_depthwise/kernel"]
    assert depthwise.std() == pytest.approx(math.sqrt(1 / (9 * 32)), rel=0.1)


def test_kernels_of_the_pyramid_are_glorots(graph):
    kernel = graph.weights["bifpn1_p4_pointwise/kernel"]
    limit = math.sqrt(6 / 64)
    assert 0.95 * limit < np.abs(kernel).max() <= limit
    depthwise = graph.weights["bifpn1_p4_depthwise/kernel"]
    limit = math.sqrt(6 / (9 * 33))
    assert 0.9 * limit < np.abs(depthwise).max() <= limit


def test_a_seed_draws_the_same_again_and_another_others(graph):
    again, other = (build_graph(SPEC, classes=5, resolution=64, seed=seed) for seed in (1, 2))
    for name, array in graph.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)
        drawn = name.endswith("/kernel")
        assert (other.weights[name] != array).any() == drawn, name


def test_other_classes_change_the_predictor_alone(graph):
    other = replace_classes(graph, 2, seed=7)
    assert (other.classes, graph.classes) == (2, 5)
    assert other.output_shape == (graph.output_shape[0], 6)
    assert other.outputs == graph.outputs
    changed = {
        name
        for name, array in other.weights.items()
        if array.shape != graph.weights[name].shape or (array != graph.weights[name]).any()
    }
    assert changed == {"class_p3/kernel", "class_p3/bias"}
    assert other.weights["class_p3/kernel"].shape == (1, 1, 32, 18)
    assert (other.weights["class_p3/bias"] == np.float32(PRIOR)).all()
    built = build_graph(SPEC, classes=2, resolution=64, seed=None)
    assert (other.nodes, other.shapes) == (built.nodes, built.shapes)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        boxes = [Network(one).eval()(x)[..., :4] for one in (graph, other)]
    torch.testing.assert_close(*boxes, rtol=0, atol=0)


def test_the_end_of_a_network_is_replaced_as_its_task_has_it(graph):
    np.testing.assert_array_equal(
        with_classes(graph, 2, 7).weights["class_p3/kernel"],
        replace_classes(graph, 2, 7).weights["class_p3/kernel"],
    )
    classifier = build_graph(narrow("lite0"), classes=5, resolution=32)
    assert with_classes(classifier, 2).classes == 2
    with pytest.raises(TypeError, match="is no detector"):
        replace_classes(classifier, 2)


def test_only_residual_branches_begin_at_zero():
    spec = narrow("b0", depth=0.5).with_decoder(EfficientDet(16, 2, 1, "sum"))
    graph = start_as_shortcuts(build_graph(spec, classes=1, resolution=64, seed=0))
    gammas = {n.partition("/")[0]: a for n, a in graph.weights.items() if n.endswith("/gamma")}
    zero = {name for name, array in gammas.items() if not array.any()}
    adds = {n.inputs[0] for n in graph.nodes if n.name.startswith("block") and "add" in n.name}
    assert zero == adds
    assert zero
    assert all(map(is_backbone, zero))
