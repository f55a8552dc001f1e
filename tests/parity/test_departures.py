"""The operator at which a file leaves its network is found, whatever runs the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from planted import SIDE, Plant, quantized

from edgekit.calibration.pair_sums import fit_pairs
from edgekit.converters.onnx.write import convert as convert_onnx
from edgekit.converters.openvino.write import convert as convert_openvino
from edgekit.converters.openvino.write import save
from edgekit.converters.tflite.write import convert as convert_tflite
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.parity.departures import LARGEST_ERROR, find_departure

RECORD = Preprocessing(SIDE, (0.0,) * 3, (1.0,) * 3, tuple("abcdef"))
PHOTOS = np.random.default_rng(3).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
#: In the middle of the network, and the classifier at its end.
PLACES = ["block3a_expand", "logits"]


@pytest.fixture(scope="module", params=[pytest.param("b0", marks=pytest.mark.slow), "lite0"])
def graph(request) -> Graph:
    return quantized(request.param)[1]


def write(folder: Path, graph: Graph, ending: str) -> Path:
    path = folder / f"model{ending}"
    if ending == ".xml":
        save(convert_openvino(graph, preprocessing=RECORD), path)
    else:
        path.write_bytes(
            {".onnx": convert_onnx, ".tflite": convert_tflite}[ending](graph, io="uint8")
        )
    return path


@pytest.mark.parametrize("ending", [".tflite", ".onnx", ".xml"])
def test_a_file_that_is_what_its_network_says_departs_nowhere(tmp_path, graph, ending):
    graph = fit_pairs(graph) if ending == ".xml" else graph
    found = find_departure(write(tmp_path, graph, ending), graph, PHOTOS)
    assert not found.first
    assert 0 <= found.steps <= LARGEST_ERROR


@pytest.mark.parametrize(
    ("ending", "place"),
    [
        (".onnx", PLACES[0]),
        (".onnx", PLACES[1]),
        (".xml", PLACES[0]),
        pytest.param(".xml", PLACES[1], marks=pytest.mark.slow),  # OpenVINO compiles for long
    ],
)
def test_a_file_of_another_network_departs_where_they_differ(tmp_path, graph, ending, place):
    graph, name = fit_pairs(graph), f"{place}/kernel"
    wrong = graph.with_weights({**graph.weights, name: -graph.weights[name]})
    found = find_departure(write(tmp_path, wrong, ending), graph, PHOTOS)
    assert (found.tensor, found.first) == (place, True)
    assert found.operator == ("Conv2D" if place != "logits" else "FullyConnected")


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_planted_in_a_tflite_file_is_found(tmp_path, graph, place):
    plant = Plant(convert_tflite(graph, io="uint8"), graph)
    plant.quantization(f"{place}/kernel").scale *= 1.5
    path = tmp_path / "model.tflite"
    path.write_bytes(plant.pack())
    found = find_departure(path, graph, PHOTOS)
    assert (found.tensor, found.first) == (place, True)


def test_a_fault_planted_in_an_onnx_file_is_found(tmp_path, graph):
    path = write(tmp_path, graph, ".onnx")
    model = onnx.load(path)
    (pads,) = (
        item
        for node in model.graph.node
        if node.name.startswith("block2a_depthwise")
        for item in node.attribute
        if item.name == "pads"
    )
    pads.ints[:] = list(reversed(pads.ints))
    onnx.save(model, path)
    assert find_departure(path, graph, PHOTOS).tensor == "block2a_depthwise"


def test_a_file_of_other_tensors_shows_nothing(tmp_path, graph):
    path = write(tmp_path, graph, ".onnx")
    renamed = replace(
        graph,
        nodes=(replace(graph.nodes[0], name="other"),),
        shapes={graph.input: graph.shapes[graph.input], "other": graph.shapes[graph.nodes[0].name]},
        weights={f"other/{k}": v for k, v in graph.node_weights(graph.nodes[0]).items()},
        quant={graph.input: graph.quant[graph.input]},
    )
    assert find_departure(path, renamed, PHOTOS) is None


def test_a_file_of_another_kind_is_refused(graph):
    with pytest.raises(UsageError, match="no kind that can be run"):
        find_departure("model.pt", graph, PHOTOS)
