"""Several outputs that are rows: one answer, all columns in the file's order, in all runtimes."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from detector_graph import CLASSES, COLUMNS, ROWS, SIDE, int8, prepared
from map_formats import in_torch, simulated, simulated_for_openvino
from map_graphs import MEAN, STD, pixels
from prerequisites import needs
from single_operators import Blank

from edgekit.converters.answer import Rows, rows_of
from edgekit.converters.onnx.write import convert as convert_onnx
from edgekit.converters.openvino import write as openvino
from edgekit.converters.tflite.file import read
from edgekit.converters.tflite.write import write_tflite
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.runtimes.base import Classifier
from edgekit.runtimes.litert import LiteRT
from edgekit.runtimes.onnx import OnnxRuntime
from edgekit.runtimes.open import open_trace
from edgekit.runtimes.openvino import OpenVINO

RECORD = Preprocessing(SIDE, (MEAN,) * 3, (STD,) * 3, ())


@functools.cache
def graph_of(classes: int = CLASSES) -> Graph:
    return prepared(classes=classes)


@functools.cache
def int8_of(classes: int = CLASSES) -> Graph:
    return int8(classes=classes)


def in_litert(graph: Graph, folder: Path, io: str = "uint8") -> Classifier:
    write_tflite(graph, folder / "m.tflite", io=io if graph.quant else "float32")
    return LiteRT(folder / "m.tflite", preprocessing=RECORD)


def in_onnxruntime(graph: Graph, folder: Path) -> Classifier:
    (folder / "m.onnx").write_bytes(convert_onnx(graph, io="uint8", preprocessing=RECORD))
    return OnnxRuntime(folder / "m.onnx", preprocessing=RECORD)


def in_openvino(graph: Graph, folder: Path) -> Classifier:
    openvino.save(openvino.convert(graph, preprocessing=RECORD), folder / "m.xml")
    return OpenVINO(folder / "m.xml")


RUNTIMES = pytest.mark.parametrize(
    "load",
    [
        in_litert,
        pytest.param(in_onnxruntime, marks=needs("onnxruntime")),
        pytest.param(in_openvino, marks=needs("openvino")),
    ],
)


@RUNTIMES
@pytest.mark.parametrize("classes", [CLASSES, 1])
def test_a_float_file_answers_as_torch(load, classes, tmp_path):
    graph = graph_of(classes)
    wanted = in_torch(graph)
    found = load(graph, tmp_path).run(pixels(graph))
    assert found.dtype == np.float32
    assert found.shape == wanted.shape == (6, ROWS, 4 + classes)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def apart(graph: Graph, found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The difference in steps of each output's own scale."""
    (boxes, logits) = (graph.quant[name].scale[0] for name in graph.outputs)
    assert boxes != logits
    return np.abs(found - wanted) / np.array([boxes] * 4 + [logits] * CLASSES)


@RUNTIMES
def test_each_output_is_in_reals_by_its_own_scale(load, tmp_path):
    graph = int8_of()
    simulate = simulated_for_openvino if load is in_openvino else simulated
    found = load(graph, tmp_path).run(pixels(graph))
    assert (found.dtype, found.shape) == (np.float32, (6, ROWS, COLUMNS))
    steps = apart(graph, found, simulate(graph))
    assert steps.max() <= 4
    assert steps.mean() <= 0.1


@pytest.mark.parametrize("io", ["int8", "float32"])
def test_the_types_of_the_ends_change_nothing(io, tmp_path):
    graph = int8_of()
    wanted = in_litert(graph, tmp_path).run(pixels(graph))
    found = in_litert(graph, tmp_path, io).run(pixels(graph))
    assert apart(graph, found, wanted).max() < 1e-3


@pytest.mark.parametrize("load", [in_litert, pytest.param(in_openvino, marks=needs("openvino"))])
def test_every_tensor_is_traced(load, tmp_path):
    graph = int8_of()
    path = load(graph, tmp_path).path
    found = open_trace(path, graph)(pixels(graph)[0])
    rows = [node.name for node in graph.nodes if len(graph.shapes[node.name]) == 2]
    assert {"boxes", "logits", "box2_rows"} < {*rows}
    for name in rows:
        assert found[name].shape == (1, *graph.shapes[name])
    answer = np.concatenate([found[name] for name in graph.outputs], -1)
    # Traces are of other kernels.
    assert apart(graph, answer, load(graph, tmp_path).run(pixels(graph)[:1])).max() <= 4


def file_with(path: Path, *shapes: list[int]) -> LiteRT:
    """A file whose outputs have these shapes: what it is given, reshaped, all in one scale."""
    blank = Blank(0)
    blank.activation("x", [1, 4, 5, 3])
    for number, shape in enumerate(shapes):
        blank.add(f"shape{number}", None, "INT32", 0, 0, np.array(shape, np.int32))
        blank.add_as(f"y{number}", shape, "x")
        blank.add_op("RESHAPE", 1, ["x", f"shape{number}"], f"y{number}", "ReshapeOptions")
    blank.finish(["x"], "y0")
    blank.graph.outputs = [blank.index(f"y{number}") for number in range(len(shapes))]
    path.write_bytes(blank.pack())
    return LiteRT(path, preprocessing=RECORD)


@pytest.mark.parametrize(
    ("shapes", "answer"),
    [
        (([1, 20, 3], [1, 20, 3]), (20, 6)),
        (([1, 60, 1], [1, 60, 1], [1, 60, 1]), (60, 3)),
        (([1, 20, 3], [1, 60]), (20, 3)),  # what is not rows all along gives its first output
        (([1, 60], [1, 20, 3]), (60,)),
        (([1, 20, 3], [1, 30, 2]), (20, 3)),
        (([1, 4, 5, 3], [1, 20, 3]), (4, 5, 3)),
        (([1, 20, 3],), (20, 3)),
    ],
)
def test_a_file_of_others_answers_with_its_first_output_unless_all_are_rows(
    shapes, answer, tmp_path
):
    runtime = file_with(tmp_path / "m.tflite", *shapes)
    found = runtime.run(pixels_of_bytes())[0]
    assert found.shape == answer
    model = read(tmp_path / "m.tflite")
    first = model.tensors[model.outputs[0]]
    columns = found.reshape(*answer)[..., : first.shape[-1]]
    assert len(np.unique(columns)) > 20
    if len(answer) == 2 and answer[1] > first.shape[-1]:
        np.testing.assert_array_equal(found[:, -first.shape[-1] :], columns)


def pixels_of_bytes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3)).astype(np.uint8)


class Output:
    def __init__(self, *shape: int | str) -> None:
        self.shape, self.dtype = shape, "float32"


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ([Output(1, 9, 4), Output(1, 9, 2)], Rows(9, (4, 2))),
        ([Output("batch", 9, 4), Output("batch", 9, 2)], Rows(9, (4, 2))),
        ([Output(-1, 9, 4), Output(-1, 9, 1)], Rows(9, (4, 1))),
        ([Output(2, 9, 4), Output(2, 9, 2)], None),
        ([Output(1, "n", 4), Output(1, "n", 2)], None),
        ([Output(1, 9, 4)], None),
        ([Output(1, 9, 4), Output(1, 8, 4)], None),
        ([], None),
    ],
)
def test_what_rows_are(outputs, found):
    assert rows_of(outputs) == found
