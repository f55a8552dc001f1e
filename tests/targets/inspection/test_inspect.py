from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from described import embed
from detector_files import MOST, record, write_detector_file
from edgetpu_packages import compiled
from map_files import LABELS as CLASSES
from map_files import photo, preprocessing, write_map_file
from PIL import Image
from places import SHARED
from prerequisites import needs
from tiny_classifier import IMAGENET, LABELS, with_metadata
from tiny_tflite import SIZE, TinyModel, float_io, int8_io, schema, with_classes

from edgekit.cli import run
from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import UsageError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.inspection.inspect import inspect_file
from edgekit.targets.schemes import scheme_of


@pytest.fixture
def save(tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(data)
        return path

    return write


def test_the_document(save):
    found = inspect_file(save(with_metadata(TinyModel(), IMAGENET)))
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert (found["schema_version"], found["scheme"]) == (1, "w8a8-static")
    assert found["inputs"] == [
        {
            "name": "image",
            "shape": [1, SIZE, SIZE, 3],
            "dtype": "uint8",
            "scale": 1 / 128,
            "zero_point": 127,
        }
    ]
    conv = next(op for op in found["operators"] if op["name"] == "CONV_2D")
    assert conv == {"name": "CONV_2D", "version": 3, "count": 1, "newest_in_tf_2_5": 5}
    assert sum(op["count"] for op in found["operators"]) == 8
    assert found["metadata"]["labels"] == LABELS
    assert found["metadata"]["preprocessing"] == IMAGENET.of_input("uint8").to_dict()
    assert found["findings"] == {"tflite": [], "edgetpu": [], "tflm": []}
    assert found["edgetpu"] is None


def test_findings_are_listed_by_target(save):
    tiny = TinyModel()
    tiny.tensor("gate").quantization.scale = [1 / 255]
    tiny.op("CONV_2D").builtinOptions.dilationWFactor = 2
    findings = inspect_file(save(tiny.pack()))["findings"]
    assert [f["rule"] for f in findings["tflite"]] == ["fixed-scale"]
    assert [(f["rule"], f["severity"]) for f in findings["edgetpu"]] == [
        ("fixed-scale", "error"),
        ("operator", "warning"),
    ]


def retype(weights: str, activations: str) -> TinyModel:
    tiny = TinyModel()
    for tensor in tiny.graph.tensors:
        kind = weights if tensor.name.endswith(b"_w") else activations
        tensor.type = getattr(schema.TensorType, kind)
    return tiny


def float_part(*names: str) -> TinyModel:
    """The tiny model with some tensors in float."""
    tiny = TinyModel()
    for name in names:
        tiny.tensor(name).type = schema.TensorType.FLOAT32
    return tiny


@pytest.mark.parametrize(
    ("tiny", "name"),
    [
        (float_part("stem", "depth_w", "depth"), "mixed"),
        (float_part("gate"), "mixed"),
        (float_part("pixels", "stem_w", "stem", "depth_w", "mean", "head_w", "logits"), "mixed"),
        (TinyModel(), "w8a8-static"),
        (float_io(), "w8a8-static"),
        (retype("UINT8", "UINT8"), "w8a8-static-uint8"),
        (retype("INT8", "INT16"), "w8a16-static"),
        (retype("INT8", "FLOAT32"), "w8-dynamic"),
        (retype("FLOAT32", "FLOAT32"), "fp32"),
        (retype("FLOAT16", "FLOAT32"), "fp16"),
    ],
)
def test_schemes(tiny, name):
    assert scheme_of(tflite_file.parse(tiny.pack())) == name


def test_a_damaged_file_is_refused(save):
    with pytest.raises(UsageError):
        inspect_file(save(TinyModel().pack()[:500]))


@pytest.mark.parametrize("tiny", [TinyModel(), int8_io(), float_io()], ids=["u8", "i8", "f32"])
def test_the_snippet_runs_and_gives_what_litert_gives(save, tmp_path, tiny):
    path = save(with_metadata(tiny, IMAGENET))
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg", quality=100)
    out = _run(inspect_file(path)["snippet"], tmp_path)
    with Image.open(tmp_path / "photo.jpg") as photo:
        logits = LiteRT(path).run(IMAGENET.pixels(photo)[None])[0]
    label, score = out.split()
    assert label == LABELS[int(logits.argmax())]
    assert float(score) == pytest.approx(float(logits.max()), rel=1e-5)


def test_the_snippet_reads_many_labels_from_the_file(save, tmp_path):
    classes = 30
    tiny = with_classes(classes)
    labels = tuple(f"class-{i}" for i in range(classes))
    record = replace(IMAGENET, labels=labels)
    path = save(embed(tiny.pack(), name="n", description="d", labels=labels, preprocessing=record))
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(tmp_path / "photo.jpg")
    assert _run(inspect_file(path)["snippet"], tmp_path).startswith("class-")


def test_a_hostile_record_does_not_reach_the_snippet(save):
    good = with_metadata(TinyModel(), IMAGENET)
    hostile = good.replace(b'"crop_fraction": 0.875', b'"crop_fraction": "xxx"')
    assert len(hostile) == len(good)
    hostile = _with_fresh_checksums(hostile)
    found = inspect_file(save(hostile))
    assert found["metadata"]["preprocessing"]["crop_fraction"] == "xxx"
    assert "xxx" not in found["snippet"]


def _with_fresh_checksums(data: bytes) -> bytes:
    """Writes the archive behind a model anew, so that edited files pass its checksums."""
    from edgekit.converters.tflite import container

    size = container.flatbuffer_size(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {}
        for info in archive.infolist():
            start = info.header_offset + 30 + len(info.filename)
            files[info.filename] = data[start : start + info.file_size]
    return container.pack(data[:size], files)


def test_a_compiled_model_is_described(save):
    found = inspect_file(save(compiled().pack()))
    assert json.loads(json.dumps(found["edgetpu"])) == found["edgetpu"]
    assert (found["scheme"], found["snippet"]) == ("edgetpu-compiled", None)
    assert found["edgetpu"]["subgraphs"] == 1
    assert found["edgetpu"]["packages"][0]["streamed_bytes"] == 48


def test_a_compiled_model_that_cannot_be_decoded_is_still_shown(save):
    found = inspect_file(save(compiled(b"nonsense").pack()))
    assert found["edgetpu"]["packages"] == [
        {"index": 3, "problem": "the custom options are no map"}
    ]
    assert found["inputs"][0]["dtype"] == "uint8"


@pytest.mark.parametrize("properties", ["ff00000100", "5d000000f0"], ids=["options", "4 GB"])
def test_an_archive_of_another_method_is_refused(save, properties):
    out = io.BytesIO(TinyModel().pack())
    with zipfile.ZipFile(out, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("labels.txt", b"daisy" * 100)
    data = bytearray(out.getvalue())
    at = data.index(b"labels.txt") + len(b"labels.txt") + 4
    data[at : at + 5] = bytes.fromhex(properties)
    code = (
        "import resource, sys\n"
        "from edgekit.targets.inspection.inspect import inspect_file\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "inspect_file(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(save(bytes(data)))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "UsageError: error: the files behind the model are damaged" in done.stderr


def test_no_snippet_where_nothing_says_how_to_feed(save):
    assert inspect_file(save(float_io().pack()))["snippet"] is None


def _run(snippet: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs("shared", SHARED.is_dir())
def test_foreign_files(tmp_path):
    found = inspect_file(SHARED / "weights/flowers_lite0_model_maker.tflite")
    assert found["scheme"] == "w8a8-static"
    assert found["metadata"]["labels"][0] == "daisy"
    assert {f["rule"] for f in found["findings"]["tflite"]} == {"static-shape"}
    small = inspect_file(SHARED / "edgetpu/pairs/split_concat_edgetpu.tflite")
    assert (small["scheme"], small["snippet"]) == ("edgetpu-compiled", None)
    assert small["edgetpu"]["cpu_operators"] == []
    parted = inspect_file(SHARED / "edgetpu/pairs/deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite")
    assert [op["index"] for op in parted["edgetpu"]["cpu_operators"]] == list(range(1, 9))
    assert parted["edgetpu"]["packages"][0]["cached_bytes"] == 766720
    old = inspect_file(SHARED / "edgetpu/pairs/mobilenet_v1_0.25_128_quant.tflite")
    assert old["scheme"] == "w8a8-static-uint8"
    assert old["findings"] == {"edgetpu": []}


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("output", ["logits", "classes"])
def test_the_snippet_of_a_segmenter_counts_its_pixels(tmp_path, output, fit):
    path = write_map_file(tmp_path / "m.tflite", "unet", output, fit=fit)
    found = inspect_file(path)
    assert (found["task"], found["map"]["kind"]) == ("segmentation", output)
    assert found["map_bytes"] == 32 * 32 * (5 if output == "logits" else 4)
    Image.fromarray(photo()).save(tmp_path / "photo.jpg", quality=100)
    ran = _run(found["snippet"], tmp_path)
    with Image.open(tmp_path / "photo.jpg") as image:
        answer = LiteRT(path).run(preprocessing(fit=fit).pixels(image)[None])[0]
    classes = answer.argmax(-1) if output == "logits" else answer
    wanted = [
        f"{CLASSES['unet'][index]} {count / classes.size}"
        for index, count in zip(*np.unique(classes, return_counts=True), strict=True)
    ]
    assert ran.splitlines() == wanted


def test_the_snippet_of_a_detector_lists_its_boxes(tmp_path):
    path = write_detector_file(tmp_path / "m.tflite")
    found = inspect_file(path)
    assert (found["task"], found["boxes"]) == ("detection", {"most": MOST, "classes": 3})
    assert found["labels_note"] is None
    Image.fromarray(photo()).save(tmp_path / "photo.jpg", quality=100)
    ran = _run(found["snippet"], tmp_path).splitlines()
    with Image.open(tmp_path / "photo.jpg") as image:
        rows = LiteRT(path).run(record().pixels(image)[None])[0]
    wanted = rows[rows[:, 4] > 0]
    assert len(ran) == len(wanted) > 1
    for line, row in zip(ran, wanted, strict=True):
        index, score, *_ = line.split()
        assert (int(index), float(score)) == (row[5], pytest.approx(row[4], abs=1e-4))


def test_a_detector_is_called_one(tmp_path, capsys):
    for output, words in (
        ("detections", f"detector    up to {MOST} boxes of 3 classes"),
        ("raw", "detector    4 and 3 numbers at each of 268 anchors"),
    ):
        assert run(["inspect", str(write_detector_file(tmp_path / "m.tflite", output))]) == 0
        assert words in capsys.readouterr().out
