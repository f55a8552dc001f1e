from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from described import embed
from places import SHARED
from prerequisites import NEEDS, needs
from tiny_tflite import SIZE, TinyModel, float_io, schema

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite import metadata_schema as fields
from edgekit.converters.tflite.container import copy_files
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError

LABELS = ("daisy", "dandelion", "rosé", "sunflowers", "tulips")
LITE = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, LABELS)
IMAGENET = Preprocessing(SIZE, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), LABELS)


def embedded(tiny: TinyModel, preprocessing: Preprocessing = LITE) -> bytes:
    return embed(
        tiny.pack(),
        name="tiny",
        description="five flowers",
        labels=LABELS,
        preprocessing=preprocessing,
    )


def int8_input() -> TinyModel:
    tiny = TinyModel()
    tiny.graph.operators.pop(0)
    tiny.graph.inputs = [tiny.index("pixels")]
    return tiny


def test_what_is_embedded_is_read_back():
    metadata = read_metadata(embedded(TinyModel()))
    assert (metadata.name, metadata.description) == ("tiny", "five flowers")
    assert metadata.labels == LABELS
    assert metadata.min_parser_version == "1.0.0"
    assert metadata.files == ("labels.txt", "edgekit.json")
    assert Preprocessing.from_dict(metadata.preprocessing) == LITE.of_input("uint8")


@pytest.mark.parametrize(
    ("tiny", "offset"), [(TinyModel(), 0), (int8_input(), 128)], ids=["uint8", "int8"]
)
@pytest.mark.parametrize("scale", [1 / 128, 1.0, 0.0173])
@pytest.mark.parametrize("preprocessing", [LITE, IMAGENET], ids=["lite", "imagenet"])
def test_a_quantized_input_is_fed_the_bytes_themselves(tiny, offset, scale, preprocessing):
    tensor = tiny.graph.tensors[tiny.graph.inputs[0]]
    tensor.quantization.scale = [scale]
    metadata = read_metadata(embedded(tiny, preprocessing))
    pixels = np.arange(256, dtype=np.float32)
    real = (pixels - np.float32(metadata.mean[0])) / np.float32(metadata.std[0])
    quantized = np.rint(real / np.float32(scale)) + tensor.quantization.zeroPoint[0]
    np.testing.assert_array_equal(quantized, pixels - offset)


def test_a_float_input_is_fed_the_normalized_pixels():
    metadata = read_metadata(embedded(float_io(), IMAGENET))
    np.testing.assert_allclose(metadata.mean, IMAGENET.mean, rtol=1e-6)
    np.testing.assert_allclose(metadata.std, IMAGENET.std, rtol=1e-6)


def test_the_files_are_a_plain_zip_behind_the_model():
    data = embedded(TinyModel())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode() == "\n".join(LABELS)
        assert (
            json.loads(archive.read("edgekit.json"))["preprocessing"]
            == LITE.of_input("uint8").to_dict()
        )
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_metadata_buffer_is_the_standard_flatbuffer():
    raw = tflite_file.parse(embedded(TinyModel())).metadata
    assert raw[4:8] == b"M001"
    table = fields.decode(raw)
    graph = table["subgraph_metadata"][0]
    image, scores = graph["input_tensor_metadata"][0], graph["output_tensor_metadata"][0]
    assert image["content"]["content_properties_type"] == fields.IMAGE_PROPERTIES
    assert image["content"]["content_properties"]["color_space"] == fields.RGB
    assert image["stats"] == {"min": [0.0], "max": [255.0]}
    assert scores["name"] == "logit"
    assert scores["associated_files"][0]["type"] == fields.TENSOR_AXIS_LABELS
    low, high = scores["stats"]["min"][0], scores["stats"]["max"][0]
    np.testing.assert_allclose([low, high], [-131 * 0.2, 124 * 0.2], rtol=1e-6)


def test_two_runs_give_the_same_bytes():
    assert embedded(TinyModel()) == embedded(TinyModel())


def test_embedding_again_replaces():
    once = embedded(TinyModel())
    other = LABELS[::-1]
    twice = embed(once, name="other", description="d", labels=other, preprocessing=LITE)
    assert read_metadata(twice).labels == other
    assert read_metadata(twice).name == "other"
    assert read_metadata(twice).files == ("labels.txt", "edgekit.json")
    names = [
        schema.Model.GetRootAs(twice, 0).Metadata(i).Name()
        for i in range(schema.Model.GetRootAs(twice, 0).MetadataLength())
    ]
    assert names == [b"TFLITE_METADATA"]


def test_other_metadata_entries_are_kept():
    tiny = TinyModel()
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"min_runtime_version", 1
    tiny.model.metadata = [entry]
    root = schema.Model.GetRootAs(embedded(tiny), 0)
    found = {root.Metadata(i).Name(): root.Metadata(i).Buffer() for i in range(2)}
    assert found[b"min_runtime_version"] == 1


def test_operators_tensors_and_weights_stay_as_they_were():
    data = TinyModel().pack()
    before, after = tflite_file.parse(data), tflite_file.parse(embedded(TinyModel()))
    assert (before.operators, before.tensors) == (after.operators, after.tensors)
    assert [t.data.tobytes() for t in before.tensors] == [t.data.tobytes() for t in after.tensors]
    assert data in embedded(TinyModel())


def test_alignment_of_the_weights_is_kept():
    def offsets(data: bytes) -> list[int]:
        root = schema.Model.GetRootAs(data, 0)
        tables = [root.Buffers(i)._tab for i in range(1, root.BuffersLength())]
        return [table.Vector(table.Offset(4)) % 16 for table in tables]

    data = embedded(TinyModel())
    assert offsets(data)[:-1] == offsets(TinyModel().pack())
    assert offsets(data)[-1] == 0


def run(data: bytes, pixels: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def test_litert_still_runs_the_model():
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.uint8)
    before, after = run(TinyModel().pack(), pixels), run(embedded(TinyModel()), pixels)
    np.testing.assert_array_equal(before, after)
    assert len(np.unique(before)) > 1


@pytest.mark.parametrize(
    ("labels", "cause"),
    [
        (LABELS[:4], "4 labels for an output of [1, 5]"),
        ((*LABELS[:4], "two\nlines"), "two\\nlines"),
        ((*LABELS[:4], " "), "' '"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, cause):
    with pytest.raises(UsageError) as caught:
        embed(TinyModel().pack(), name="n", description="d", labels=labels, preprocessing=LITE)
    assert cause in caught.value.cause


def test_a_model_without_metadata_says_nothing():
    metadata = read_metadata(TinyModel().pack())
    assert (metadata.labels, metadata.preprocessing, metadata.files) == ((), None, ())


def test_files_that_a_compiler_dropped_are_put_back():
    source, compiled = embedded(TinyModel()), TinyModel(seed=1).pack()
    restored = copy_files(source, compiled)
    assert restored.startswith(compiled)
    assert read_metadata(restored).files == ("labels.txt", "edgekit.json")
    assert copy_files(source, restored) == restored
    assert copy_files(TinyModel().pack(), compiled) == compiled


def test_damaged_metadata_is_refused():
    data = embedded(TinyModel())
    start = data.index(tflite_file.parse(data).metadata)
    for position in range(start, start + 4):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        with pytest.raises(UsageError, match="damaged"):
            read_metadata(bytes(damaged))


def test_random_damage_of_the_metadata_never_escapes():
    raw = tflite_file.parse(embedded(TinyModel())).metadata
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(500):
        damaged = bytearray(raw)
        for position in rng.integers(8, len(raw), 3):
            damaged[position] = rng.integers(0, 256)
        try:
            fields.decode(bytes(damaged))
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_damaged_archive_is_refused():
    data = bytearray(embedded(TinyModel()))
    at = data.index(b"dandelion")
    data[at] ^= 0xFF
    with pytest.raises(UsageError, match="damaged"):
        read_metadata(bytes(data))


def test_a_zip_bomb_is_not_unpacked():
    out = io.BytesIO(TinyModel().pack())
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", bytes(64 << 20))
    with pytest.raises(UsageError, match="too large"):
        read_metadata(out.getvalue())


def test_unknown_fields_cannot_be_written():
    with pytest.raises(KeyError, match="colour"):
        fields.encode({"colour": "blue"})


def test_decode_refuses_foreign_bytes():
    with pytest.raises(ValueError, match="M001"):
        fields.decode(struct.pack("<I", 4) + b"XXXX")


@needs("shared", SHARED.is_dir())
def test_a_model_maker_file_is_read():
    metadata = read_metadata(SHARED / "weights/flowers_lite0_model_maker.tflite")
    assert metadata.name == "efficientnet_lite0"
    assert metadata.labels == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    assert (metadata.mean, metadata.std, metadata.preprocessing) == ((0.0,), (255.0,), None)


def test_an_independent_reader_decodes_the_tables():
    generated = pytest.importorskip(
        "mediapipe.tasks.metadata.metadata_schema_py_generated", reason=NEEDS["mediapipe"].reason
    )
    raw = tflite_file.parse(embedded(TinyModel())).metadata
    assert generated.ModelMetadata.ModelMetadataBufferHasIdentifier(raw, 0)
    table = generated.ModelMetadataT.InitFromObj(generated.ModelMetadata.GetRootAs(raw, 0))
    assert (table.name, table.minParserVersion) == (b"tiny", b"1.0.0")
    assert [file.name for file in table.associatedFiles] == [b"edgekit.json"]
    graph = table.subgraphMetadata[0]
    image, scores = graph.inputTensorMetadata[0], graph.outputTensorMetadata[0]
    options = image.processUnits[0].options
    assert isinstance(options, generated.NormalizationOptionsT)
    assert (list(options.mean), list(options.std)) == ([127.0], [128.0])
    size = image.content.contentProperties.defaultSize
    assert (size.width, size.height) == (SIZE, SIZE)
    assert [(f.name, f.type) for f in scores.associatedFiles] == [
        (b"labels.txt", generated.AssociatedFileType.TENSOR_AXIS_LABELS)
    ]


def test_mediapipe_classifies_with_our_labels():
    mediapipe = pytest.importorskip("mediapipe", reason=NEEDS["mediapipe"].reason)
    tasks = mediapipe.tasks
    options = tasks.vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=embedded(TinyModel()))
    )
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    with tasks.vision.ImageClassifier.create_from_options(options) as classifier:
        categories = classifier.classify(image).classifications[0].categories
    order = np.argsort(run(embedded(TinyModel()), pixels[None]))[::-1]
    assert [category.category_name for category in categories] == [LABELS[i] for i in order]
