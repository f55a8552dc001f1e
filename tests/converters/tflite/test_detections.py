"""The options of TFLite's detection operator, and the operator as LiteRT runs it."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from detector_files import BOXES as ANCHORED
from detector_files import contents
from detector_graph import SIDE, int8
from flatbuffers import flexbuffers
from places import SHARED
from prerequisites import needs

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.checks import check_int8
from edgekit.converters.tflite.detections import (
    BOXES,
    CLASSES,
    COUNT,
    POST_PROCESS,
    encode_options,
    find_post_process,
    loses_a_class,
    read_options,
)
from edgekit.converters.tflite.write import convert
from edgekit.errors import UsageError
from edgekit.networks.detection.outputs import with_detections
from edgekit.networks.detection.postprocess import PostProcess, post_process
from edgekit.runtimes.litert import LiteRT
from edgekit.system.quiet import native_quiet
from edgekit.targets.measure.photos import LOST, load_photos

ORACLE = SHARED / "oracle/detection"
FILES = sorted(ORACLE.glob("postprocess_*.tflite"))
SSD = SHARED / "weights/coco_ssd_mobilenet_v1_quant.tflite"


def run(contents, *inputs):
    """The operator's four answers, found by the operator, whatever the file's order is."""
    op = find_post_process(tflite_file.parse(contents))
    with native_quiet():
        interpreter = Interpreter(model_content=contents, num_threads=1)
        interpreter.allocate_tensors()
    for index, values in zip(op.inputs, inputs, strict=False):
        interpreter.set_tensor(index, values)
    interpreter.invoke()
    return [interpreter.get_tensor(index) for index in op.outputs]


def equals(answers, found, per_box=1):
    rows = int(answers[COUNT][0]) * per_box
    assert found.found * per_box == rows
    for got, expected in zip(answers[:COUNT], found[:COUNT], strict=True):
        assert got.shape[1] == len(expected)
        assert (got[0, :rows] == expected[:rows]).all()


@needs("shared", bool(FILES))
@pytest.mark.parametrize("kind", ["plain", "few scores", "one class"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_numpy_form_is_what_litert_computes(path, kind):
    contents = path.read_bytes()
    op = find_post_process(tflite_file.parse(contents))
    model = tflite_file.parse(contents)
    anchors = model.tensors[op.inputs[2]].values()
    options = read_options(op)
    rng = np.random.default_rng(len(path.stem))
    for _ in range(4):
        boxes = rng.normal(0, 1, (1, 60, 4)).astype(np.float32)
        scores = rng.random((1, 60, 4)).astype(np.float32)
        if kind == "few scores":  # ties everywhere
            scores = (np.floor(scores * 4) / 4).astype(np.float32)
        if kind == "one class":
            scores[..., :3] = 0
        answers = run(contents, boxes, scores)
        found = post_process(boxes[0], scores[0], anchors, options)
        per_box = 1 if options.use_regular_nms else options.max_classes_per_detection
        equals(answers, found, per_box)


def test_options_are_read_as_they_were_written():
    options = PostProcess(
        7, 25, 2, 50, nms_score_threshold=0.25, use_regular_nms=True, scales=(10, 10, 5, 5)
    )
    op = tflite_file.Operator(
        0, POST_PROCESS, 1, (0, 1, 2), (3, 4, 5, 6), "NONE", True, {}, stored(options)
    )
    assert read_options(op) == options
    fast = replace(options, use_regular_nms=False, nms_score_threshold=-np.inf)
    told = read_options(replace(op, custom_options=stored(fast)))
    assert told == replace(fast, detections_per_class=100)  # it is not for the fast kind


def stored(options):
    return np.frombuffer(encode_options(options), np.uint8)


def test_options_have_the_types_that_the_kernel_asks_for():
    table = flexbuffers.GetRoot(encode_options(PostProcess(3, nms_iou_threshold=0.3))).AsMap
    assert table["num_classes"].IsInt
    assert table["nms_iou_threshold"].IsFloat
    assert table["nms_iou_threshold"].AsFloat == np.float32(0.3)
    assert table["use_regular_nms"].AsInt == 0


@needs("shared", SSD.exists())
def test_the_options_of_a_detector_of_old_are_read():
    op = find_post_process(tflite_file.read(SSD))
    assert read_options(op) == PostProcess(
        90,
        10,
        nms_score_threshold=pytest.approx(1e-8),
        nms_iou_threshold=pytest.approx(0.6),
        scales=(10, 10, 5, 5),
    )


@pytest.mark.parametrize("size", range(0, 40, 3))
def test_damaged_options_are_a_usage_error_or_numbers(size):
    whole = encode_options(PostProcess(3))
    cut = np.frombuffer(whole[-size:] if size else b"", np.uint8)
    op = tflite_file.Operator(5, POST_PROCESS, 1, (), (), "NONE", True, {}, cut)
    with contextlib.suppress(UsageError):
        assert isinstance(read_options(op), PostProcess)


@needs("shared", bool(FILES))
def test_answers_are_found_by_the_operator_not_by_the_files_order():
    model = tflite_file.read(FILES[0])
    op = find_post_process(model)
    assert model.outputs != op.outputs  # as TensorFlow 2.6 and later write it
    assert (op.outputs[BOXES], op.outputs[CLASSES]) == (3, 4)


@pytest.fixture(scope="module")
def each_class_alone(tmp_path_factory):
    """A detector that suppresses each of its three classes alone, and counts every box."""
    graph = with_detections(
        int8(), ANCHORED, max_detections=100, score_threshold=0.0, per_class=True
    )
    path = tmp_path_factory.mktemp("file") / "regular.tflite"
    path.write_bytes(convert(graph, io="uint8"))
    return path


def test_several_threads_lose_a_class_where_each_is_suppressed_alone(each_class_alone):
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    found = {}
    for threads in (1, 2):
        with native_quiet():
            interpreter = Interpreter(str(each_class_alone), num_threads=threads)
            interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
        interpreter.invoke()
        boxes = find_post_process(tflite_file.read(each_class_alone))
        _, classes, _, count = (interpreter.get_tensor(index) for index in boxes.outputs)
        found[threads] = {*classes[0, : int(count[0])].astype(int).tolist()}
    # Where this fails, LiteRT is mended: the rule and what follows from it can go.
    assert found == {1: {0, 1, 2}, 2: {0, 1}}
    # edgekit runs such a file with one.
    answer = LiteRT(each_class_alone, threads=2).run(pixels)[0]
    assert {*answer[answer[:, 4] > 0, 5].astype(int).tolist()} == {0, 1, 2}


def test_a_file_that_loses_a_class_is_warned_of(each_class_alone):
    (warning,) = [
        f for f in check_int8(tflite_file.read(each_class_alone)) if f.rule == "lost-class"
    ]
    assert warning.severity == "warning"
    assert "issue 56058" in warning.message
    assert load_photos(each_class_alone, None, None).note == LOST
    ours = tflite_file.parse(contents())
    assert not loses_a_class(ours)
    assert "lost-class" not in {finding.rule for finding in check_int8(ours)}
