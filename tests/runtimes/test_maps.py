"""Answers that are maps: the same in all runtimes, whatever the layout in the file."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
from map_formats import in_torch
from map_graphs import CASES, MEAN, STD, pixels, quantized
from prerequisites import needs

from edgekit.converters.onnx.write import convert as convert_onnx
from edgekit.converters.openvino import write as openvino
from edgekit.converters.tflite.file import read
from edgekit.converters.tflite.write import write_tflite
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.graph import Graph
from edgekit.runtimes import interpreter
from edgekit.runtimes import onnx as runtime_onnx
from edgekit.runtimes.base import answer_of
from edgekit.runtimes.litert import LiteRT
from edgekit.runtimes.onnx import OnnxRuntime
from edgekit.runtimes.openvino import OpenVINO

NAMES = ("unet logits", "unet classes", "aspp logits", "aspp classes", "aspp classes-fused")


@functools.cache
def graph_of(name: str) -> Graph:
    return CASES[name]()


@functools.cache
def int8_of(name: str) -> Graph:
    return quantized(graph_of(name))


def record(graph: Graph) -> Preprocessing:
    return Preprocessing(graph.resolution, (MEAN,) * 3, (STD,) * 3, ())


def in_litert(graph, folder):
    write_tflite(graph, folder / "m.tflite", io="uint8" if graph.quant else "float32")
    return LiteRT(folder / "m.tflite", preprocessing=record(graph))


def in_onnxruntime(graph, folder):
    (folder / "m.onnx").write_bytes(convert_onnx(graph, io="float32"))
    return OnnxRuntime(folder / "m.onnx", preprocessing=record(graph))


def in_openvino(graph, folder):
    openvino.save(openvino.convert(graph, preprocessing=record(graph)), folder / "m.xml")
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
@pytest.mark.parametrize("name", NAMES)
def test_a_float_file_answers_as_torch(name, load, tmp_path):
    graph = graph_of(name)
    wanted = in_torch(graph)
    found = load(graph, tmp_path).run(pixels(graph))
    assert found.shape == wanted.shape == (6, *graph.shapes[graph.output])
    if graph.class_tensors:
        assert found.dtype.kind in "iu"
        assert (found == wanted).mean() > 0.999
    else:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@RUNTIMES
@pytest.mark.parametrize("name", NAMES)
def test_an_int8_file_answers_in_reals_or_in_classes(name, load, tmp_path):
    graph, wanted = int8_of(name), in_torch(graph_of(name))
    found = load(graph, tmp_path).run(pixels(graph))
    assert found.shape == wanted.shape
    if graph.class_tensors:
        assert found.dtype.kind in "iu"
        assert (found == wanted).mean() > 0.9
    else:
        assert found.dtype == np.float32
        step = graph.quant[graph.output].scale[0]
        assert np.abs(found - wanted).mean() < 4 * step


def test_the_files_have_the_layout_of_their_format(tmp_path):
    graph = graph_of("aspp logits")
    in_litert(graph, tmp_path)
    in_onnxruntime(graph, tmp_path)
    tflite = read(tmp_path / "m.tflite")
    assert tflite.tensors[tflite.outputs[0]].shape == (1, 33, 33, 7)
    (output,) = onnx.load(tmp_path / "m.onnx").graph.output
    assert [d.dim_value for d in output.type.tensor_type.shape.dim] == [1, 7, 33, 33]


@pytest.mark.parametrize(
    ("name", "dtype"), [("aspp classes", "int64"), ("aspp classes-fused", "uint8")]
)
def test_types_of_classes_in_onnx(name, dtype, tmp_path):
    found = in_onnxruntime(graph_of(name), tmp_path).run(pixels(graph_of(name)))
    assert found.dtype == dtype


@pytest.mark.parametrize(
    ("name", "dtype"), [("aspp classes", "int32"), ("aspp classes-fused", "uint8")]
)
@pytest.mark.parametrize("load", [in_litert, pytest.param(in_openvino, marks=needs("openvino"))])
def test_types_of_classes_elsewhere(name, dtype, load, tmp_path):
    assert load(graph_of(name), tmp_path).run(pixels(graph_of(name))).dtype == dtype


@pytest.mark.parametrize("trace", [interpreter.trace_graph, runtime_onnx.trace_graph])
def test_every_tensor_is_traced_in_nchw(trace, tmp_path):
    graph = graph_of("aspp classes-fused")
    if trace is interpreter.trace_graph:
        write_tflite(quantized(graph), tmp_path / "m", io="uint8")
        found = trace(tmp_path / "m", quantized(graph))(pixels(graph)[0])
    else:
        said = {"edgekit.preprocessing": "{}"}
        contents = convert_onnx(graph, io="uint8", preprocessing=record(graph), metadata=said)
        (tmp_path / "m").write_bytes(contents)
        found = trace(tmp_path / "m", graph)(pixels(graph)[0])
    for node in graph.nodes:
        height, width, channels = graph.shapes[node.name]
        assert found[node.name].shape == (1, channels, height, width)


@pytest.mark.parametrize(
    ("shape", "channels_first", "answer"),
    [
        ((1, 5), False, (5,)),
        ((5,), True, (5,)),
        ((1, 1, 1, 5), False, (5,)),
        ((1, 5, 1, 1), True, (5,)),
        ((1, 4, 6, 5), False, (4, 6, 5)),
        ((1, 5, 4, 6), True, (4, 6, 5)),
        ((1, 4, 6), True, (4, 6)),
    ],
)
def test_shapes_of_answers(shape, channels_first, answer):
    values = np.arange(np.prod(shape)).reshape(shape)
    found = answer_of(values, channels_first=channels_first)
    assert found.shape == answer
    assert found.dtype == (values.dtype if len(answer) > 1 else np.float32)
