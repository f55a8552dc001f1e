"""What a detector's file says of its outputs, by the schemas of those who read it."""

import struct
import time

import flatbuffers
import numpy as np
import pytest
from detector_files import BOXES, LABELS, MOST, contents, record
from detector_graph import SIDE, int8, prepared
from flatbuffers import number_types
from flatbuffers.table import Table
from map_graphs import pixels
from prerequisites import NEEDS

from edgekit.converters.tflite import container
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite import metadata_schema as fields
from edgekit.converters.tflite.about import About
from edgekit.converters.tflite.boxes_metadata import (
    anchors_in,
    found_boxes,
    output_order,
    raw_boxes,
)
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.converters.tflite.write import convert
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.detection.outputs import centers_of
from edgekit.networks.detection.postprocess import PostProcess, post_process
from edgekit.runtimes.litert import LiteRT
from edgekit.tasks.detection.task import OUTPUTS

ANCHORS = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0, 0.7, 0.8], [1, 2, 3, 4]], np.float32)


def encoded(graph):
    data = fields.encode({"name": "m", "subgraph_metadata": [graph]})
    return data, fields.decode(data)["subgraph_metadata"][0]


def test_tables_are_read_back_as_they_were_written():
    given = found_boxes("labels.txt")
    assert encoded(given)[1] == given
    box = given["output_tensor_metadata"][0]["content"]["content_properties"]
    assert box == {"index": [1, 0, 3, 2], "type": 1}  # and fractions, which are the default


def test_names_of_outputs_are_found_in_any_order():
    tensors = found_boxes("")["output_tensor_metadata"]
    assert output_order(tensors) == (0, 1, 2, 3)
    assert output_order([tensors[i] for i in (2, 0, 3, 1)]) == (1, 3, 0, 2)
    assert output_order([{"name": f"x{i}"} for i in range(4)]) == (0, 1, 2, 3)
    assert output_order(tensors[:3]) == ()


def test_anchors_are_read_back():
    graph = encoded(raw_boxes("labels.txt", ANCHORS, 3))[1]
    assert (anchors_in(graph) == ANCHORS).all()
    assert anchors_in(encoded(found_boxes("labels.txt"))[1]) is None


def test_mediapipe_finds_the_anchors_by_the_slots_of_its_schema():
    """By slots, and not by the code that wrote them."""
    (custom,) = raw_boxes("", ANCHORS, 3)["custom_metadata"]
    assert custom["name"] == "DETECTOR_METADATA"
    data = custom["data"]
    assert flatbuffers.util.BufferHasIdentifier(data, 0, b"V001")
    (place,) = struct.unpack_from("<I", data)
    options = Table(data, place)
    assert options.String(options.Pos + options.Offset(4)) == b"1.0.0"
    ssd = Table(data, options.Indirect(options.Pos + options.Offset(6)))
    fixed = Table(data, ssd.Indirect(ssd.Pos + ssd.Offset(4)))
    start, count = fixed.Vector(fixed.Offset(4)), fixed.VectorLen(fixed.Offset(4))
    assert (start % 4, count) == (0, 3)
    for row, (y, x, height, width) in enumerate(ANCHORS.tolist()):
        anchor = Table(data, fixed.Indirect(start + 4 * row))
        numbers = [
            anchor.Get(number_types.Float32Flags, anchor.Pos + anchor.Offset(4 + 2 * slot))
            for slot in range(4)
        ]
        assert numbers == [x, y, width, height]
    decoding = Table(data, options.Indirect(options.Pos + options.Offset(8)))

    def whole(slot, flags=number_types.Int32Flags):
        return decoding.Get(flags, decoding.Pos + decoding.Offset(4 + 2 * slot))

    assert [whole(slot) for slot in range(3)] == [3, 3, 4]
    assert [decoding.Offset(4 + 2 * slot) for slot in (3, 4)] == [0, 0]  # no keypoints
    assert whole(5) == 2  # of which MediaPipe asks for two values each
    assert [whole(slot, number_types.Float32Flags) for slot in range(6, 10)] == [1, 1, 1, 1]
    assert [whole(slot, number_types.BoolFlags) for slot in (10, 11)] == [True, True]


def test_many_anchors_take_no_time():
    many = np.random.default_rng(0).random((49_104, 4)).astype(np.float32)
    began = time.process_time()
    (custom,) = raw_boxes("", many, 90)["custom_metadata"]
    assert time.process_time() - began < 2
    assert len(custom["data"]) < 24.1 * len(many)


def test_damaged_anchors_are_an_error_of_the_file():
    graph = raw_boxes("", ANCHORS, 3)
    graph["custom_metadata"][0]["data"] = graph["custom_metadata"][0]["data"][:60]
    with pytest.raises(ValueError):
        anchors_in(graph)


KINDS = {
    "boxes, uint8 in": lambda: contents(),
    "boxes, float": lambda: contents(is_float=True),
    "raw, float": lambda: contents("raw", is_float=True),
    "raw of int8": lambda: contents("raw", "float32"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_detectors_record_is_read_back(kind):
    said = read_metadata(KINDS[kind]())
    assert said.labels == LABELS
    assert said.task == "detect"
    assert said.files == ("labels.txt", "edgekit.json")
    model = tflite_file.parse(KINDS[kind]())
    taken = model.tensors[model.inputs[0]].dtype
    assert Preprocessing.from_dict(said.preprocessing) == record().of_input(taken)
    assert (len(said.mean), len(said.std)) in ((1, 1), (3, 3))
    assert said.min_parser_version == ("1.2.0" if "boxes" in kind else "1.5.0")


def task_library_problem(data):
    """Why object_detector.cc of the Task Library refuses a file, by its `CheckAndSetOutputs`."""
    model = tflite_file.parse(data)
    (graph,) = fields.decode(model.metadata)["subgraph_metadata"]
    if len(model.outputs) != 4:
        return "not 4 outputs"
    tensors = graph["output_tensor_metadata"]
    if len(tensors) != 4:
        return "not 4 outputs with metadata"
    names = [tensor["name"] for tensor in tensors]
    wanted = ["location", "category", "score", "number of detections"]
    order = [names.index(name) for name in wanted] if {*wanted} <= {*names} else [0, 1, 2, 3]
    content = tensors[order[0]].get("content", {})
    if content.get("content_properties_type") != 3:
        return "the first is no bounding box"
    box = content["content_properties"]
    if box.get("type") != 1 or box.get("coordinate_type", 0) != 0:
        return "not boundaries in fractions"
    if len(box.get("index", range(4))) != 4:
        return "not 4 numbers in the index"
    files = tensors[order[1]].get("associated_files", [])
    labels = [file["name"] for file in files if file["type"] == fields.TENSOR_VALUE_LABELS]
    if container.unpack(data)[labels[0]].decode().split("\n") != list(LABELS):
        return "no labels"
    shapes = [model.tensors[model.outputs[index]].shape for index in order]
    if [len(shape) for shape in shapes] != [3, 2, 2, 1]:
        return "not 3, 2, 2 and 1 sizes"
    return None if all(shape[0] == 1 for shape in shapes) else "not a batch of 1"


def test_the_task_library_takes_boxes_and_nothing_else():
    assert task_library_problem(contents()) is None
    assert task_library_problem(contents(is_float=True)) is None
    assert task_library_problem(contents("raw", "float32")) == "not 4 outputs"


@pytest.mark.parametrize("kind", ["raw, float", "raw of int8"])
def test_a_raw_file_has_its_anchors_and_the_labels_of_the_logits(kind):
    model = tflite_file.parse(KINDS[kind]())
    (graph,) = fields.decode(model.metadata)["subgraph_metadata"]
    assert (anchors_in(graph) == centers_of(BOXES, SIDE, SIDE)).all()
    location, score = graph["output_tensor_metadata"]
    assert (location["name"], score["name"]) == ("location", "score")
    assert [file["type"] for file in score["associated_files"]] == [fields.TENSOR_AXIS_LABELS]
    options = fields.find_custom(graph, fields.DETECTOR)["tensors_decoding_options"]
    shape = model.tensors[model.outputs[1]].shape
    assert (options["num_boxes"], options["num_classes"]) == shape[1:]


def test_labels_that_are_not_those_of_the_logits_are_refused():
    about = About(
        name="x", description="", labels=("a", "b"), preprocessing=record(), outputs=OUTPUTS
    )
    with pytest.raises(UsageError, match="labels do not fit"):
        convert(int8(), io="float32", about=about)


@pytest.mark.parametrize("kind", KINDS)
def test_mediapipe_detects_what_the_file_does(kind, tmp_path):
    mediapipe = pytest.importorskip("mediapipe", reason=NEEDS["mediapipe"].reason)
    tasks, data = mediapipe.tasks, KINDS[kind]()
    options = tasks.vision.ObjectDetectorOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=data), score_threshold=0.5
    )
    photo = pixels(prepared())[0]
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=photo)
    with tasks.vision.ObjectDetector.create_from_options(options) as detector:
        found = detector.detect(image).detections
    (tmp_path / "m.tflite").write_bytes(data)
    rows = LiteRT(tmp_path / "m.tflite").run(photo[None])[0]
    if "raw" in kind:
        scores = 1 / (1 + np.exp(-rows[:, 4:]))
        anchors = centers_of(BOXES, SIDE, SIDE)
        rows = post_process(rows[:, :4], scores, anchors, PostProcess(3, MOST)).rows()
    sides = (rows[:, :4] * SIDE).clip(0, SIDE)
    assert len(found) > 2
    # Of raw outputs, MediaPipe suppresses by a threshold of its own: the best box is the same.
    for one in found[:1] if "raw" in kind else found[:3]:
        box = one.bounding_box
        corners = [box.origin_y, box.origin_x, box.origin_y + box.height, box.origin_x + box.width]
        is_near = np.abs(sides - np.clip(corners, 0, SIDE)).max(axis=1) <= 1
        for category in one.categories:  # several, of boxes with the same pixels
            is_like = np.abs(rows[:, 4] - category.score) < 0.01
            classes = {LABELS[int(index)] for index in rows[is_near & is_like, 5]}
            assert category.category_name in classes
