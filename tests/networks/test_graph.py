"""A Graph survives its file, and refuses weights that are not its own."""

import json

import numpy as np
import pytest
from map_graphs import CASES
from map_graphs import quantized as quantized_map
from pooled import pooled, quantized

from edgekit.errors import UsageError
from edgekit.networks.edit import replace_head
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.origin import spec_of
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import Add, AveragePool2D, Flatten
from edgekit.networks.passes import prepare
from edgekit.networks.quantization import scale_owners


@pytest.fixture(scope="module")
def graph():
    return build_graph(SPECS["b0"], classes=7, resolution=32)


def test_a_graph_is_the_same_after_a_file(graph, tmp_path):
    from dataclasses import replace

    quant = {
        "input": QuantParams((0.5,), (-3,)),
        "stem/kernel": QuantParams((1.0, 2.0), (0, 0), axis=3),
    }
    stored = replace(graph, quant=quant)
    stored.save(tmp_path / "g")
    loaded = Graph.load(tmp_path / "g")
    assert loaded.nodes == stored.nodes
    assert loaded.shapes == stored.shapes
    assert loaded.quant == quant
    assert spec_of(loaded) == SPECS["b0"]
    assert list(loaded.weights)
    assert loaded.weights.keys() == stored.weights.keys()
    for name, array in stored.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_pools_are_the_same_after_a_file(name, tmp_path):
    stored = quantized(pooled(name))
    stored.save(tmp_path / "g")
    loaded = Graph.load(tmp_path / "g")
    assert (loaded.nodes, loaded.shapes, loaded.quant) == (
        stored.nodes,
        stored.shapes,
        stored.quant,
    )


def test_a_scale_is_owned_by_the_tensor_before_all_pools():
    nodes = (
        Add(name="sum", inputs=("x", "x")),
        AveragePool2D(name="quarter", inputs=("sum",), kernel=(2, 2)),
        AveragePool2D(name="whole", inputs=("quarter",), kernel=(3, 3)),
        Flatten(name="vector", inputs=("whole",)),
    )
    graph = Graph("pools", "x", nodes, {}, {})
    assert scale_owners(graph) == dict.fromkeys(("quarter", "whole", "vector"), "sum")


def test_the_same_graph_gives_the_same_bytes(graph, tmp_path):
    for name in ("a", "b"):
        graph.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "foreign", "op"])
def test_a_damaged_file_is_refused(graph, tmp_path, damage):
    from safetensors.numpy import save_file

    path = tmp_path / "g"
    if damage != "missing":
        graph.save(path)
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not a graph")
        case "truncated":
            path.write_bytes(path.read_bytes()[:-100])
        case "foreign":
            save_file({"x": np.zeros(3, np.float32)}, path)
        case "op":
            path.write_bytes(path.read_bytes().replace(b"DepthwiseConv2D", b"DepthwiseConv3D"))
    with pytest.raises(UsageError, match="cannot read the graph"):
        Graph.load(path)


def test_weights_that_do_not_fit_are_named(graph):
    weights = dict(graph.weights)
    weights["stem/kernel"] = np.zeros((3, 3, 3, 8), np.float32)
    del weights["head/gamma"]
    weights["extra"] = np.zeros(1, np.float32)
    with pytest.raises(UsageError) as caught:
        graph.with_weights(weights)
    for text in (
        "'stem/kernel' has shape [3, 3, 3, 8], not [3, 3, 3, 32]",
        "'head/gamma' is missing",
        "'extra' has no place",
    ):
        assert text in caught.value.cause


def test_every_tensor_is_written_before_it_is_read(graph):
    for candidate in (graph, prepare(graph)):
        written = {candidate.input}
        for node in candidate.nodes:
            assert set(node.inputs) <= written, node
            written.add(node.name)
        assert written == set(candidate.shapes)


def test_seeds_decide_the_weights():
    one, same, other = (
        build_graph(SPECS["lite0"], classes=3, resolution=32, seed=s) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.weights["stem/kernel"], same.weights["stem/kernel"])
    assert not np.array_equal(one.weights["stem/kernel"], other.weights["stem/kernel"])


def test_initial_kernels_have_the_published_spread():
    graph = build_graph(SPECS["b0"], classes=1000, resolution=32)
    head = graph.weights["head/kernel"]
    assert head.std() == pytest.approx(np.sqrt(2 / 1280), rel=0.02)
    assert np.abs(graph.weights["logits/kernel"]).max() <= 1 / np.sqrt(1000)


def test_a_new_head_leaves_the_rest(graph):
    changed = replace_head(graph, 3, seed=5)
    assert changed.classes == 3
    assert changed.weights["logits/kernel"].shape == (1280, 3)
    np.testing.assert_array_equal(changed.weights["stem/kernel"], graph.weights["stem/kernel"])


def test_the_header_is_plain_json(graph, tmp_path):
    graph.save(tmp_path / "g")
    raw = (tmp_path / "g").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    described = json.loads(header["__metadata__"]["edgekit"])
    assert described["nodes"][0]["op"] == "Conv2D"


@pytest.mark.parametrize("name", ["unet classes", "aspp logits", "aspp classes-fused"])
def test_a_network_of_maps_comes_back_from_its_file(name, tmp_path):
    graph = quantized_map(CASES[name]())
    graph.save(tmp_path / "map.graph")
    again = Graph.load(tmp_path / "map.graph")
    assert (again.nodes, again.shapes, again.quant) == (graph.nodes, graph.shapes, graph.quant)
    assert again.class_tensors == graph.class_tensors
    assert again.classes == graph.classes
