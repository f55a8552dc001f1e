"""What a segmenter's file says of itself, read as its readers do."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from described import embed
from flatbuffers import number_types
from flatbuffers.table import Table
from map_files import LABELS, SIDE, contents, photo, preprocessing
from prerequisites import NEEDS
from tiny_tflite import TinyModel

from edgekit.converters.tflite import container
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite import metadata_schema as fields
from edgekit.converters.tflite.about import colors_text
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.runtimes.litert import LiteRT

OUTPUTS = [("unet", "logits"), ("aspp", "logits"), ("unet", "classes"), ("aspp", "classes-fused")]
#: The first colours of ``kColorMap`` in image_segmenter.cc of the Task Library.
TASK_LIBRARY = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]


def table_of(data: bytes) -> dict:
    return fields.decode(tflite_file.parse(data).metadata)


@pytest.mark.parametrize(("network", "output"), OUTPUTS)
def test_a_segmenters_record_is_read_back(network, output):
    data = contents(network, output)
    said = read_metadata(data)
    assert said.labels == LABELS[network]
    assert said.task == "segment"
    assert Preprocessing.from_dict(said.preprocessing) == preprocessing(network).of_input("uint8")
    assert said.files == ("labels.txt", "edgekit.json", "colors.txt")
    assert said.activation == ("softmax" if output == "logits" else "")


def task_library_problem(data: bytes) -> str | None:
    """Why image_segmenter.cc of the Task Library refuses a file, by its `CheckAndSetOutputs`."""
    model = tflite_file.parse(data)
    (graph,) = table_of(data)["subgraph_metadata"]
    if len(model.outputs) != 1 or len(graph["output_tensor_metadata"]) != 1:
        return "not one output with metadata"
    output = model.tensors[model.outputs[0]]
    if len(output.shape) != 4 or output.shape[0] != 1 or output.shape[3] > 256:
        return "not 4 sizes"
    if output.dtype not in ("float32", "uint8"):
        return "not float32 or uint8"
    files = graph["output_tensor_metadata"][0]["associated_files"]
    names = [file["name"] for file in files if file.get("type") == 2 and "locale" not in file]
    labels = container.unpack(data)[names[0]].decode().split("\n")
    return None if len(labels) == output.shape[3] else "labels do not fit"


@pytest.mark.parametrize(
    "data",
    [
        lambda: contents("unet"),
        lambda: contents("aspp"),
        lambda: contents("unet", "logits", is_float=True),
    ],
    ids=["unet", "aspp", "float"],
)
def test_the_task_library_takes_logits(data):
    assert task_library_problem(data()) is None


def test_the_task_library_does_not_take_classes():
    """Its category masks are argmaxes of its own; the documentation of --output says so."""
    assert task_library_problem(contents("unet", "classes")) == "not 4 sizes"


def test_mediapipe_finds_the_activation():
    """By the slots of its schemas, and not by the code that wrote them."""
    data = tflite_file.parse(contents()).metadata
    (root,) = struct.unpack_from("<I", data)
    model = Table(data, root)
    graphs = model.Vector(model.Offset(4 + 2 * 3))
    graph = Table(data, model.Indirect(graphs))
    customs = graph.Vector(graph.Offset(4 + 2 * 9))
    custom = Table(data, graph.Indirect(customs))
    assert custom.String(custom.Pos + custom.Offset(4)) == b"SEGMENTER_METADATA"
    start, length = custom.Vector(custom.Offset(6)), custom.VectorLen(custom.Offset(6))
    assert start % 16 == 0  # force_align of the schema
    options = data[start : start + length]
    assert flatbuffers.util.BufferHasIdentifier(options, 0, b"V001")
    (place,) = struct.unpack_from("<I", options)
    table = Table(options, place)
    activation = table.Get(number_types.Int8Flags, table.Pos + table.Offset(4))
    assert activation == 2  # SOFTMAX


@pytest.mark.parametrize(
    ("output", "kind"), [("logits", fields.TENSOR_AXIS_LABELS), ("classes", 3)]
)
def test_labels_are_those_of_the_axis_or_of_the_values(output, kind):
    (graph,) = table_of(contents("unet", output))["subgraph_metadata"]
    (made,) = graph["output_tensor_metadata"]
    assert made["associated_files"][0]["type"] == kind
    assert made["content"]["content_properties"]["default_size"] == {"width": 32, "height": 32}
    assert made["content"]["range"] == {"min": 1, "max": 2}


def test_colours_are_those_that_the_task_library_gives():
    lines = container.unpack(contents("aspp"))["colors.txt"].decode().split("\n")
    pairs = [line.split(" ", 1) for line in lines]
    assert [name for _, name in pairs] == list(LABELS["aspp"])
    colors = [tuple(bytes.fromhex(color[1:])) for color, _ in pairs]
    assert colors[: len(TASK_LIBRARY)] == TASK_LIBRARY
    assert colors_text(["a"]) == "#000000 a"


def test_labels_that_are_not_as_many_as_the_numbers_of_a_pixel_are_refused():
    with pytest.raises(UsageError, match="labels do not fit"):
        embed(
            contents("unet"),
            name="n",
            description="d",
            labels=LABELS["aspp"],
            preprocessing=preprocessing(),
        )


def test_a_classifier_says_nothing_of_maps():
    labels = tuple("abcde")
    record = Preprocessing(8, (127.0,) * 3, (128.0,) * 3, labels)
    said = {"name": "n", "description": "d", "labels": labels, "preprocessing": record}
    data = embed(TinyModel().pack(), **said)
    (graph,) = table_of(data)["subgraph_metadata"]
    assert "custom_metadata" not in graph
    assert read_metadata(data).files == ("labels.txt", "edgekit.json")


def test_an_activation_that_is_damaged_is_no_crash():
    table = {"custom_metadata": [{"name": "SEGMENTER_METADATA", "data": b"\xff\xff\xff\x7fV001"}]}
    with pytest.raises(ValueError, match=r".+"):
        fields.segmenter_activation(table)
    assert fields.segmenter_activation({"custom_metadata": [{"name": "other"}]}) == ""
    whole = fields.segmenter_options("sigmoid")
    assert fields.segmenter_activation({"custom_metadata": [whole]}) == "sigmoid"


@pytest.mark.parametrize("is_float", [False, True], ids=["uint8", "float32"])
def test_mediapipe_segments_with_our_labels_and_our_activation(is_float):
    mediapipe = pytest.importorskip("mediapipe", reason=NEEDS["mediapipe"].reason)
    tasks, data = mediapipe.tasks, contents("unet", "logits", is_float=is_float)
    options = tasks.vision.ImageSegmenterOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=data),
        output_category_mask=True,
        output_confidence_masks=True,
    )
    pixels = photo(SIDE, SIDE)
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    with tasks.vision.ImageSegmenter.create_from_options(options) as segmenter:
        assert segmenter.labels == list(LABELS["unet"])
        found = segmenter.segment(image)
    confidences = np.stack([np.squeeze(mask.numpy_view()) for mask in found.confidence_masks])
    assert confidences.sum(axis=0) == pytest.approx(1, abs=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.tflite"
        path.write_bytes(data)
        logits = LiteRT(path).run(pixels[None])[0]
    same = (np.squeeze(found.category_mask.numpy_view()) == logits.argmax(-1)).mean()
    assert same > 0.98
