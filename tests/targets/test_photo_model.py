"""`edgekit run` of .onnx and .xml files: what their runtime answers, shown as for .tflite."""

from __future__ import annotations

import json
import sys

import detector_files
import map_files
import numpy as np
import pytest
import tiny_openvino
from PIL import Image
from prerequisites import needs

from edgekit.cli import run
from edgekit.runtimes.open import open_classifier
from edgekit.tasks.detection.kept import keep

pytestmark = [needs("onnx"), needs("onnxruntime"), needs("openvino")]
ENDINGS = [".onnx", ".xml"]
GRAPHS = {
    "classification": (tiny_openvino.float_graph, tiny_openvino.RECORD),
    "segmentation": (lambda: map_files.graph_of(is_float=True), map_files.preprocessing()),
    "detection": (lambda: detector_files.graph_of("raw"), detector_files.record()),
}


def write(folder, ending, task="classification", io="float32"):
    make, record = GRAPHS[task]
    path = folder / f"m{ending}"
    if ending == ".onnx":
        from edgekit.converters.onnx.package import package_onnx

        path.write_bytes(package_onnx(make(), preprocessing=record, scheme="float", io=io))
    else:
        from edgekit.converters.openvino.write import convert, save

        save(convert(make(), preprocessing=record, io=io), path)
    return path


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "street.png"
    Image.fromarray(map_files.photo()).save(path)
    return path


def answered(path, *words, capsys):
    assert run(["run", str(path), *map(str, words), "--repeat", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert {".onnx": "run onnx", ".xml": "run openvino"}[path.suffix] in err
    return json.loads(out)


@pytest.mark.parametrize("io", ["float32", "uint8"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_classifiers_best_classes_are_those_of_its_runtime(tmp_path, picture, capsys, ending, io):
    path = write(tmp_path, ending, io=io)
    found = answered(path, picture, "--top", "2", capsys=capsys)
    record = tiny_openvino.RECORD
    with Image.open(picture) as image:
        opened = open_classifier(path)
        scores = opened.run(record.pixels(image)[None])[0]
    best = np.argsort(-scores, kind="stable")[:2]
    (photo,) = found["photos"]
    assert [place["index"] for place in photo["top"]] == best.tolist()
    assert [place["score"] for place in photo["top"]] == pytest.approx(scores[best].tolist())
    assert [place["label"] for place in photo["top"]] == [record.labels[i] for i in best]
    assert found["runtime"] == opened.runtime
    assert found["delegate"] == {"name": "none", "library": None, "device": ""}
    assert (found["output"], found["latency_ms"]["n"]) == ("logit", 2)
    assert set(found["latency_ms"]) == {"delegate", "load", "first", "median", "p5", "p95", "n"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_segmenters_classes_are_drawn(tmp_path, picture, capsys, ending):
    path, mask = write(tmp_path, ending, "segmentation"), tmp_path / "mask.png"
    out = tmp_path / "drawn.png"
    found = answered(path, picture, "-o", out, "--mask", mask, capsys=capsys)
    how, pixels = map_files.preprocessing(), map_files.photo()
    answer = open_classifier(path).run(how.pixels(Image.fromarray(pixels))[None])[0]
    wanted = how.place(pixels.shape[1::-1]).restore(answer.argmax(-1).astype(np.uint8))
    with Image.open(mask) as image:
        assert np.array_equal(np.array(image), wanted)
    assert found["photos"][0]["classes"][0]["label"] in map_files.LABELS["unet"]
    assert out.is_file()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_detectors_boxes_are_decoded_from_its_rows(tmp_path, picture, capsys, ending):
    path = write(tmp_path, ending, "detection")
    out = tmp_path / "drawn.png"
    found = answered(path, picture, "-o", out, "--threshold", "0.5", capsys=capsys)
    how, pixels = detector_files.record(), map_files.photo()
    answer = open_classifier(path).run(how.pixels(Image.fromarray(pixels))[None])
    rows = keep(answer, how)["detections"][0]
    rows = rows[rows[:, 4] >= 0.5]
    assert len(rows) > 1
    (photo,) = found["photos"]
    assert [box["score"] for box in photo["boxes"]] == pytest.approx(rows[:, 4].tolist())
    names = [detector_files.LABELS[int(k)] for k in rows[:, 5]]
    assert [box["label"] for box in photo["boxes"]] == names
    assert found["output"] == "raw"


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_normalization_than_the_files_own_can_be_given(tmp_path, picture, capsys, ending):
    path = write(tmp_path, ending)
    plain = answered(path, picture, capsys=capsys)["photos"][0]["top"]
    same = ["--mean", "127", "--std", "128"]
    assert answered(path, picture, *same, capsys=capsys)["photos"][0]["top"] == plain
    other = answered(path, picture, "--mean", "0", "--std", "64", capsys=capsys)
    assert other["photos"][0]["top"] != plain


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--delegate", "edgetpu"], "the delegate 'edgetpu' is for .tflite files"),
        (["--mean", "0", "--std", "1"], "--mean and --std are not for"),
        (["--mask", "m.png"], "--mask is for segmenters"),
    ],
)
def test_options_that_such_a_file_does_not_have_are_refused(tmp_path, capsys, words, says):
    path = write(tmp_path, ".onnx", io="uint8")
    assert run(["run", str(path), *words]) == 2
    assert says in capsys.readouterr().err


def test_a_float_file_that_says_nothing_of_itself_needs_a_normalization(tmp_path, capsys):
    from tiny_onnx import tiny

    path = tmp_path / "foreign.onnx"
    path.write_bytes(tiny().SerializeToString())
    assert run(["run", str(path)]) == 2
    assert "--mean R,G,B --std R,G,B" in capsys.readouterr().err
    found = answered(path, "--mean", "127.5", "--std", "127.5", capsys=capsys)
    assert [place["label"] for place in found["photos"][0]["top"]] == [None] * 3


def test_a_file_of_any_size_without_a_record_is_refused(tmp_path, capsys):
    from tiny_onnx import tiny

    path = tmp_path / "open.onnx"
    path.write_bytes(tiny((1, 3, "height", "width")).SerializeToString())
    assert run(["run", str(path), "--mean", "0", "--std", "1"]) == 2
    assert "does not take square photos of one size" in capsys.readouterr().err


@pytest.mark.parametrize(("ending", "package"), [(".onnx", "onnxruntime"), (".xml", "openvino")])
def test_without_its_runtime_the_command_that_installs_it_is_named(
    tmp_path, capsys, monkeypatch, ending, package
):
    path = write(tmp_path, ending)
    monkeypatch.setitem(sys.modules, package, None)
    assert run(["run", str(path)]) == 3
    assert 'pip install "edgekit[' in capsys.readouterr().err
