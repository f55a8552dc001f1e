"""What a detector's file says of its outputs, by the schemas of those who read it."""

import struct
import time

import flatbuffers
import numpy as np
import pytest
from flatbuffers import number_types
from flatbuffers.table import Table

from edgekit.converters.tflite import metadata_schema as fields
from edgekit.converters.tflite.boxes_metadata import (
    anchors_in,
    found_boxes,
    output_order,
    raw_boxes,
)

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
    assert [decoding.Offset(4 + 2 * slot) for slot in (3, 4, 5)] == [0, 0, 0]  # no keypoints
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
