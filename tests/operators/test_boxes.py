"""Boxes at the end of a network, through torch, the simulation and TFLite's files."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

import flatbuffers
import numpy as np
import pytest
from detector_files import BOXES, MOST
from detector_graph import CLASSES, int8, prepared
from every_scheme import with_int16_activations
from map_formats import as_integers, in_torch, simulated
from map_graphs import inputs, pixels

from edgekit.converters.onnx.write import convert as convert_onnx
from edgekit.converters.tflite.checks import check_int8
from edgekit.converters.tflite.detections import (
    OUTPUTS,
    POST_PROCESS,
    find_post_process,
    read_options,
)
from edgekit.converters.tflite.file import MAGIC, parse, schema
from edgekit.converters.tflite.matching import find_differences, match
from edgekit.converters.tflite.scheme import scheme
from edgekit.converters.tflite.write import convert
from edgekit.errors import UsageError
from edgekit.networks.detection.outputs import with_detections
from edgekit.networks.detection.postprocess import post_process
from edgekit.networks.graph import Graph
from edgekit.parity.executions import find_subject
from edgekit.runtimes.interpreter import Kernels
from edgekit.runtimes.litert import LiteRT

OPTIONS = {"max_detections": MOST, "score_threshold": 0.02}
each_way = pytest.mark.parametrize("per_class", [False, True], ids=["over all", "by class"])


@functools.cache
def in_float(per_class: bool = False) -> Graph:
    return with_detections(prepared(), BOXES, per_class=per_class, **OPTIONS)


@functools.cache
def in_int8(per_class: bool = False) -> Graph:
    return with_detections(int8(), BOXES, per_class=per_class, **OPTIONS)


def answers(contents: bytes, fed: np.ndarray) -> list[np.ndarray]:
    """The four outputs for each photo, and what the operator was given."""
    model, runner = parse(contents), Kernels(contents)
    op = find_post_process(model)
    for one in fed:
        runner.run([one[None]])
        values = runner.activations(model)
        yield [values[i] for i in op.outputs], [values[i] for i in op.inputs[:2]]


@each_way
def test_a_float_file_gives_what_torch_gives(per_class):
    graph = in_float(per_class)
    wanted = in_torch(graph)
    assert wanted.shape == (6, MOST, 6)
    for rows, ((boxes, classes, scores, count), _) in zip(
        wanted, answers(convert(graph), inputs(graph)), strict=True
    ):
        found = int((rows[:, 4] > 0).sum())
        assert found == count[0] > 1
        assert boxes[0, :found] == pytest.approx(rows[:found, :4], abs=1e-4)
        assert scores[0, :found] == pytest.approx(rows[:found, 4], abs=1e-5)
        assert (classes[0, :found] == rows[:found, 5]).all()


@each_way
def test_an_int8_file_ends_as_numpy_ends(per_class):
    graph = in_int8(per_class)
    contents = convert(graph, io="int8")
    options = read_options(find_post_process(parse(contents)))
    anchors = graph.weights["detections/anchors"]
    for outputs, (offsets, scores) in answers(contents, as_integers(graph)):
        steps = scores * 256
        assert (steps == steps.round()).all()
        wanted = post_process(offsets[0], scores[0], anchors, options)
        assert outputs[3][0] == wanted.found > 1
        for got, expected in zip(outputs[:3], wanted[:3], strict=True):
            assert (got[0, : wanted.found] == expected[: wanted.found]).all()


def test_the_simulation_finds_the_boxes_of_an_int8_file():
    graph = in_int8()
    wanted = simulated(graph)
    for rows, ((boxes, _, scores, _), _) in zip(
        wanted, answers(convert(graph, io="int8"), as_integers(graph)), strict=True
    ):
        assert abs(scores[0, 0] - rows[0, 4]) <= 4 / 256  # a step of the logits is up to three
        near = np.abs(boxes[0][:, None] - rows[None, :, :4]).max(-1).min(1)
        assert (near[:10] < 0.1).mean() > 0.7


def outputs_of(contents: bytes) -> list[tuple[str, tuple[int, ...], str]]:
    model = parse(contents)
    ends = [model.tensors[index] for index in model.outputs]
    return [(end.name, end.shape, end.dtype) for end in ends]


FOUR = [
    ("TFLite_Detection_PostProcess", (1, MOST, 4), "float32"),
    ("TFLite_Detection_PostProcess:1", (1, MOST), "float32"),
    ("TFLite_Detection_PostProcess:2", (1, MOST), "float32"),
    ("TFLite_Detection_PostProcess:3", (1,), "float32"),
]


@pytest.mark.parametrize("io", ["float32", "uint8", "int8"])
def test_a_file_has_the_operators_four_outputs_whatever_its_input_is(io):
    graph = in_int8()
    model = parse(convert(graph, io=io))
    assert outputs_of(convert(graph, io=io)) == FOUR
    assert model.tensors[model.inputs[0]].dtype == io
    kinds = Counter(op.name for op in model.operators)
    assert (kinds["LOGISTIC"], kinds["DEQUANTIZE"], kinds[POST_PROCESS]) == (1, 2, 1)
    assert scheme(model) == "w8a8-static"
    assert {finding.rule for finding in check_int8(model)} <= {"float-ends"}
    assert not [finding for finding in check_int8(model) if finding.severity == "error"]


def test_other_float_tensors_of_an_int8_detector_are_still_found():
    model = parse(convert(in_int8(), io="int8"))
    index = next(t.index for t in model.tensors if t.name == "logits")
    tensors = [
        replace(tensor, dtype="float32", scales=(), zero_points=())
        if tensor.index == index
        else tensor
        for tensor in model.tensors
    ]
    found = check_int8(replace(model, tensors=tuple(tensors)))
    assert "no-float" in {finding.rule for finding in found}


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_a_float_file_has_its_scheme_and_exact_anchors(half):
    graph = in_float()
    model = parse(convert(graph, half=half))
    assert scheme(model) == ("fp16" if half else "fp32")
    anchors = model.tensors[find_post_process(model).inputs[2]]
    assert (anchors.values() == graph.weights["detections/anchors"]).all()


def test_scores_of_16_bits_are_written_too():
    graph = with_detections(with_int16_activations(int8()), BOXES, **OPTIONS)
    assert graph.quant["scores"].scale == (1 / 32768,)
    contents = convert(graph, io="float32")
    assert scheme(parse(contents)) == "w8a16-static"
    for (boxes, *_, count), _ in answers(contents, inputs(graph)[:2]):
        assert count[0] > 1
        assert np.isfinite(boxes).all()


def test_a_file_holds_what_the_graph_says_and_a_fault_is_found():
    for graph in (in_float(), in_int8(), in_int8(True)):
        model = parse(convert(graph, io="int8" if graph.quant else "float32"))
        found = match(graph, model)
        assert not found.missing
        assert found.operators.keys() == {node.name for node in graph.nodes}
        if not graph.quant:
            continue
        assert find_differences(graph, model, found) == []
        end = replace(graph.nodes[-1], iou_threshold=0.4)
        other = replace(graph, nodes=(*graph.nodes[:-1], end))
        (difference,) = find_differences(other, model, match(other, model))
        assert (difference.tensor, difference.kind) == ("detections", "options")
        moved = graph.weights["detections/anchors"] + np.float32(0.01)
        other = replace(graph, weights={**graph.weights, "detections/anchors": moved})
        (difference,) = find_differences(other, model, match(other, model))
        assert (difference.tensor, difference.kind) == ("detections/anchors", "weights")


def test_coral_finds_the_outputs_by_their_names_in_the_signature():
    """As ``pycoral.adapters.detect``: number, scores, classes, boxes."""
    model = schema().ModelT.InitFromPackedBuf(convert(in_int8(), io="uint8"), 0)
    (signature,), (graph,) = model.signatureDefs, model.subgraphs
    named = {entry.name: graph.tensors[entry.tensorIndex].name for entry in signature.outputs}
    wanted = {f"output_{3 - place}".encode(): name.encode() for place, name in enumerate(OUTPUTS)}
    assert named == wanted


def reordered(contents: bytes) -> bytes:
    """The file with its outputs as TensorFlow since 2.6 orders them."""
    model = schema().ModelT.InitFromPackedBuf(contents, 0)
    boxes, classes, scores, count = model.subgraphs[0].outputs
    model.subgraphs[0].outputs = [scores, boxes, count, classes]
    builder = flatbuffers.Builder(len(contents))
    builder.Finish(model.Pack(builder), MAGIC)
    return bytes(builder.Output())


@pytest.mark.parametrize("order", [bytes, reordered], ids=["ours", "TensorFlow's"])
def test_the_runtime_joins_boxes_scores_and_classes_in_any_order(tmp_path, order):
    graph = in_int8()
    path = tmp_path / "model.tflite"
    path.write_bytes(order(convert(graph, io="uint8")))
    photos = pixels(graph)
    rows = LiteRT(path, kernels="builtin").run(photos)
    assert rows.shape == (len(photos), *graph.output_shape)
    assert rows.dtype == np.float32
    for row, ((boxes, classes, scores, count), _) in zip(
        rows, answers(convert(graph, io="int8"), as_integers(graph)), strict=True
    ):
        found = int(count[0])
        assert (row[:found, :4] == boxes[0, :found]).all()
        assert (row[:found, 4] == scores[0, :found]).all()
        assert (row[:found, 5] == classes[0, :found]).all()
        assert not row[found:].any()
    assert set(rows[..., 5].ravel()) <= set(range(CLASSES))


def test_rows_that_a_photo_before_has_left_are_not_answers(tmp_path):
    graph = with_detections(int8(), BOXES, max_detections=100, score_threshold=0.97)
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(graph, io="uint8"))
    photos = pixels(graph)
    runtime = LiteRT(path, kernels="builtin")
    counts = [int((runtime.run(photo[None])[0, :, 4] > 0).sum()) for photo in photos]
    assert len(set(counts)) > 1
    last = photos[int(np.argmin(counts))]
    runtime.run(photos[int(np.argmax(counts))][None])
    assert (runtime.run(last[None])[0, :, 4] > 0).sum() == min(counts)


def test_formats_without_the_operator_say_why_they_do_not_write_it():
    with pytest.raises(UsageError, match="DetectionPostProcess 'detections'") as error:
        convert_onnx(replace(in_float(), nodes=in_float().nodes[-1:]))
    assert "TFLite's own" in error.value.cause


def test_parity_is_of_raw_outputs_and_says_so(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(in_int8(), io="uint8"))
    with pytest.raises(UsageError, match="ends with boxes") as error:
        find_subject(path)
    assert error.value.hint == "edgekit build --output raw"
