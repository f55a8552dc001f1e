"""Forms of a network with several outputs: what is compared are all columns of their rows."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detector_graph import ANCHORS, CLASSES, COLUMNS, ROWS, SIDE, int8, prepared
from map_graphs import MEAN, STD, pixels
from prerequisites import needs

from edgekit.calibration.pair_sums import fit_pairs
from edgekit.converters.onnx.write import convert as convert_onnx
from edgekit.converters.openvino import write as openvino
from edgekit.converters.tflite.file import read
from edgekit.converters.tflite.write import convert
from edgekit.data.boxes.anchors import OLD_RATIOS, Anchors
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import SyntheticPhotos
from edgekit.networks.detection.outputs import with_detections
from edgekit.networks.graph import Graph
from edgekit.parity.compare import compare_subject, output_steps
from edgekit.parity.departures import LARGEST_ERROR, find_departure
from edgekit.parity.executions import Subject, executions
from edgekit.runtimes.litert import LiteRT

RECORD = Preprocessing(SIDE, (MEAN,) * 3, (STD,) * 3, ())
#: As many at each place of its levels as the network has.
ANCHORED = Anchors(scale=3.0, ratios=OLD_RATIOS[:ANCHORS], octaves=1, levels=(1, 2, 3))
#: Its fusion sums what weights have scaled: ties of two inputs are everywhere.
OPTIONS = {"fusion": "weighted"}


@functools.cache
def quantized() -> Graph:
    return int8(**OPTIONS)


def written(folder: Path, graph: Graph, ending: str, io: str = "uint8") -> Path:
    path = folder / f"{io}{ending}"
    if ending == ".xml":
        openvino.save(openvino.convert(graph, preprocessing=RECORD), path)
    else:
        path.write_bytes({".onnx": convert_onnx, ".tflite": convert}[ending](graph, io=io))
    return path


def test_every_form_gives_all_columns_and_the_simulation_the_kernels_own(tmp_path):
    path = written(tmp_path, quantized(), ".tflite")
    graph = prepared(**OPTIONS)
    subject = Subject(
        file=path,
        preprocessing=RECORD,
        photos=SyntheticPhotos(4, 0, "val", SIDE),
        source="drawn",
        float_file=written(tmp_path, graph, ".tflite", "float32"),
        graph=graph,
        quantized=quantized(),
        others={"onnx int8": written(tmp_path, quantized(), ".onnx")},
    )
    floats, integers = executions(subject, read(path), LiteRT(path, kernels="builtin"))
    photos = pixels(graph, 3)
    found = {name: run(photos) for name, run in (floats | integers).items()}
    assert {values.shape for values in found.values()} == {(3, ROWS, COLUMNS)}
    assert {*floats} == {"torch float", "tflite float"}
    np.testing.assert_array_equal(found["integer simulation"], found["tflite builtin"])
    largest = np.abs(found["torch float"]).max()
    np.testing.assert_allclose(found["tflite float"], found["torch float"], atol=1e-5 * largest)
    steps = output_steps(read(path))
    assert steps is not None
    for name in integers:
        apart = np.abs(found[name] - found["torch float"]) / steps
        assert 0 < apart.mean() < 4, name


@pytest.mark.parametrize("end", ["rows", "boxes"])
def test_a_faithful_detector_is_the_simulation_whatever_it_ends_with(end, tmp_path):
    graphs = prepared(**OPTIONS), quantized()
    if end == "boxes":
        graphs = tuple(with_detections(graph, ANCHORED, max_detections=20) for graph in graphs)
    subject = Subject(
        file=written(tmp_path, graphs[1], ".tflite"),
        preprocessing=replace(RECORD, task="detection", anchors=ANCHORED),
        photos=SyntheticPhotos(4, 0, "val", SIDE),
        source="drawn",
        float_file=written(tmp_path, graphs[0], ".tflite", "float32"),
        graph=graphs[0],
        quantized=graphs[1],
        reference=graphs[0],
    )
    found = compare_subject(subject, 3, lambda *_: None)
    assert found["ok"], found["first"]
    assert {operator["builtin"] for operator in found["operators"]} == {0}
    pairs = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    exact = pairs["integer simulation", "tflite builtin"]
    assert exact["agreement"] == 1
    assert exact["mean_lsb"] == (0 if end == "rows" else None)
    assert pairs["torch float", "tflite float"]["agreement"] > 0.99
    measured = {tensor["tensor"] for tensor in found["tensors"]}
    assert {"boxes", "logits", "box0_rows", "middle"} <= measured


@pytest.mark.parametrize("io", ["uint8", "float32"])
def test_a_step_is_that_of_the_column_s_output(io, tmp_path):
    graph = quantized()
    (boxes, logits) = (np.float32(graph.quant[name].scale[0]) for name in graph.outputs)
    found = output_steps(read(written(tmp_path, graph, ".tflite", io)))
    assert found is not None
    assert found.tolist() == [boxes] * 4 + [logits] * CLASSES
    single = replace(graph, nodes=tuple(n for n in graph.nodes if n.name not in cut(graph)))
    found = output_steps(read(written(tmp_path, single, ".tflite", io)))
    assert found is not None
    assert found.tolist() == [logits]


def cut(graph: Graph) -> set[str]:
    """The nodes that only the boxes need."""
    return {node.name for node in graph.nodes if node.name.startswith("box")}


def test_a_float_file_has_no_steps(tmp_path):
    path = written(tmp_path, prepared(), ".tflite", "float32")
    assert output_steps(read(path)) is None


@pytest.mark.parametrize(
    "ending",
    [
        ".tflite",
        pytest.param(".onnx", marks=needs("onnxruntime")),
        pytest.param(".xml", marks=needs("openvino")),
    ],
)
@pytest.mark.parametrize("place", ["class1", "middle_scaled0", None])
def test_an_operator_that_leaves_the_network_is_found(ending, place, tmp_path):
    graph = fit_pairs(quantized()) if ending == ".xml" else quantized()
    other = graph
    if place is not None:
        weights = dict(graph.weights)
        weights[f"{place}/kernel"] = -weights[f"{place}/kernel"]
        other = replace(graph, weights=weights)
    found = find_departure(written(tmp_path, other, ending), graph, pixels(graph, 2))
    assert found is not None
    assert found.first == (place is not None)
    if place is None:
        assert 0 <= found.steps <= LARGEST_ERROR
    else:
        assert found.tensor == place
