"""The pyramid: its nodes, how maps change size, and how they are joined."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import narrow

from edgekit.data.boxes.anchors import Anchors
from edgekit.errors import UsageError
from edgekit.networks.detection.detectors import EfficientDet
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.nodes import Add, Conv2D, MaxPool2D, Resize, WeightedSum
from edgekit.networks.torch_network import Network


def build(decoder=None, *, size=64, name="lite0", **fields):
    decoder = decoder or EfficientDet(**{"channels": 16, "cells": 2, "repeats": 1, **fields})
    return build_graph(narrow(name).with_decoder(decoder), classes=2, resolution=size, seed=3)


def sums(graph):
    return [node for node in graph.nodes if isinstance(node, WeightedSum)]


def test_a_cell_goes_down_and_up_as_published():
    # google/automl, fpn_configs.py: inputs of the nodes 0 to 7, by offset; from 5 on they are
    # nodes.
    published = [(3, 4), (2, 5), (1, 6), (0, 7), (1, 7, 8), (2, 6, 9), (3, 5, 10), (4, 11)]
    graph = build(size=256)
    second = [node for node in sums(graph) if node.name.startswith("bifpn2_")]
    ends = [f"bifpn1_p{level}_pointwise" for level in range(3, 8)]
    ends += [f"{node.name.removesuffix('_sum')}_pointwise" for node in second]
    inputs = {node.name: node.inputs for node in graph.nodes}

    def source(name):
        """What a resize or a pool reads."""
        return name if name in ends else inputs[name][0]

    found = [tuple(ends.index(source(name)) for name in node.inputs) for node in second]
    assert found == published
    assert "".join(name.split("_")[1] for name in ends[5:]) == "p6p5p4p3p4p5p6p7"


def test_only_the_first_cell_brings_maps_to_the_channels_each_use_with_weights_of_its_own():
    graph = build(size=256, channels=24)
    laterals = [node.name for node in graph.nodes if node.name.endswith("_lateral")]
    assert laterals == [
        "bifpn1_p5_down_lateral",
        "bifpn1_p4_down_lateral",
        "bifpn1_p3_lateral",
        "bifpn1_p4_lateral",
        "bifpn1_p5_lateral",
    ]
    for name in laterals:
        node = graph.node(name)
        assert (node.batch_norm, node.biased_norm, node.activation) == (1e-3, True, "linear")


def test_a_map_with_the_pyramids_channels_needs_no_convolution():
    # In B0 at a quarter of its width P3 has 16 channels.
    spec = narrow("b0", 0.25, 0.5).with_decoder(EfficientDet(16, 1, 1))
    names = [node.name for node in build_graph(spec, classes=1, resolution=64, seed=None).nodes]
    assert "bifpn1_p4_lateral" in names
    assert "bifpn1_p3_lateral" not in names


def test_coarser_levels_are_pooled_after_the_convolution():
    graph = build(size=256, padding="symmetric")
    assert isinstance(graph.node("p6_conv"), Conv2D)
    assert graph.node("p6").inputs == ("p6_conv",)
    assert graph.node("p7").inputs == ("p6",)
    pools = [node for node in graph.nodes if isinstance(node, MaxPool2D)]
    assert len(pools) == 2 + 2 * 4
    assert {(node.kernel, node.stride, node.padding) for node in pools} == {(3, 2, "symmetric")}
    eighth = build(anchors=Anchors(levels=(3, 4, 5, 6, 7, 8)), size=256)
    assert eighth.node("p8").inputs == ("p7",)
    assert eighth.shapes["bifpn2_p8_pointwise"] == (1, 1, 16)


def test_maps_of_odd_sides_meet_at_the_finer_ones_size():
    graph = build(size=320)
    sides = [graph.shapes[f"bifpn2_p{level}_pointwise"][0] for level in range(3, 8)]
    assert sides == [40, 20, 10, 5, 3]
    resize = graph.node("bifpn1_p6_down_resize")
    assert isinstance(resize, Resize)
    assert (resize.size, resize.method) == ((5, 5), "nearest")


def test_a_map_of_one_pixel_is_neither_pooled_nor_resized():
    graph = build(size=32)
    assert [graph.shapes[f"bifpn2_p{level}_pointwise"][0] for level in range(3, 8)] == [
        4,
        2,
        1,
        1,
        1,
    ]
    with torch.inference_mode():
        assert Network(graph).eval()(torch.zeros(1, 3, 32, 32)).isfinite().all()


def test_a_sum_without_weights_is_written_in_pairs_with_the_activation_at_its_end():
    graph = build(fusion="sum", size=256)
    assert not sums(graph)
    first, last = graph.node("bifpn2_p5_sum1"), graph.node("bifpn2_p5_sum")
    assert isinstance(first, Add)
    assert (first.activation, last.activation) == ("linear", "relu6")
    assert first.inputs == ("bifpn1_p5_pointwise", "bifpn2_p5_down_pointwise")
    assert last.inputs == (first.name, "bifpn2_p5_pool")


def test_weights_below_zero_cut_their_edge():
    """As in the oracle, where two of an image's sums have such a weight."""
    graph = build(size=64, cells=1)
    (name,) = graph.node("bifpn1_p4_sum").weight_names()
    weights = {**graph.weights, name: np.array([0.5, -0.25, 1.5], np.float32)}
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    values = {}
    with torch.inference_mode():
        Network(replace(graph, weights=weights)).eval().run(
            x, lambda key, value: values.setdefault(key, value)
        )
    own, _, finer = (values[key] for key in graph.node("bifpn1_p4_sum").inputs)
    expected = ((0.5 * own + 1.5 * finer) / (2 + 1e-4)).clamp(0, 6)
    torch.testing.assert_close(values["bifpn1_p4_sum"], expected, rtol=1e-5, atol=1e-6)


def test_an_input_that_would_shrink_one_way_only_is_refused():
    with pytest.raises(UsageError, match="64 x 128 pixels is too narrow") as caught:
        build(size=(64, 128))
    assert "1 x 2" in caught.value.cause
    assert build(size=(128, 192)).shapes["bifpn2_p7_pointwise"] == (1, 2, 16)
