from __future__ import annotations

import json

import numpy as np
import pytest
from described import embed
from foreign_files import FOREIGN, GREEN, activated, custom, depth, ending_in, labelled
from PIL import Image
from stand_in import build_library, compiled_model
from tiny_tflite import SIZE, TinyModel, float_io

from edgekit.cli import run
from edgekit.converters.classifier import softmax
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.test_image import TEST_PICTURE, draw
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.classify import classify
from edgekit.targets.measure.isolated import Effort

LABELS = ("daisy", "rose\x1b", "tulip", "poppy", "aster")
PREPROCESSING = Preprocessing(SIZE, (127.0,) * 3, (128.0,) * 3, LABELS)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.tflite"
    described = {"name": "n", "description": "d", "labels": LABELS}
    path.write_bytes(embed(TinyModel().pack(), preprocessing=PREPROCESSING, **described))
    return path


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for seed, path in enumerate(paths):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def test_json_names_the_best_classes_of_each_photo(model, photos, capsys):
    assert run(["run", str(model), *map(str, photos), "--json", "--top", "2", "--repeat", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    with_litert = LiteRT(model)
    for photo, path in zip(found["photos"], photos, strict=True):
        scores = with_litert.run(PREPROCESSING.pixels(Image.open(path))[None])[0]
        best = np.argsort(-scores, kind="stable")[:2]
        assert photo["photo"] == str(path)
        assert [place["index"] for place in photo["top"]] == best.tolist()
        assert [place["score"] for place in photo["top"]] == scores[best].tolist()
        assert [place["label"] for place in photo["top"]] == [LABELS[i] for i in best]
    assert found["latency_ms"]["n"] == 3
    assert found["delegate"] == {"name": "xnnpack", "library": None, "device": ""}
    assert found["output"] == "logit"


def test_text_is_for_people_and_progress_goes_to_stderr(model, capsys):
    assert run(["run", str(model), "--delegate", "none", "--threads", "2", "--top", "9"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == TEST_PICTURE
    assert sorted(line.split()[1] for line in lines[1:6]) == sorted(
        label.replace("\x1b", "?") for label in LABELS
    )
    assert (
        lines[6] == "the file gives logits (its metadata say so); probabilities are their softmax"
    )
    assert lines[7].startswith("latency in ms: load ")
    assert lines[7].endswith("(10 runs, none, 2 threads)")
    assert err.startswith("[1/1] run none")


def test_without_metadata_classes_are_numbers_and_the_whole_square_is_taken(tmp_path, photos):
    path = tmp_path / "bare.tflite"
    path.write_bytes(TinyModel().pack())
    found = classify(path, photos[:1], top=1, effort=Effort(repeat=1))
    bilinear, square = Image.Resampling.BILINEAR, (5, 0, 25, 20)
    pixels = Image.open(photos[0]).resize((SIZE, SIZE), bilinear, box=square)
    scores = LiteRT(path).run(np.asarray(pixels)[None])[0]
    assert found["photos"][0]["top"] == [
        {
            "index": int(scores.argmax()),
            "label": None,
            "score": float(scores.max()),
            "probability": pytest.approx(float(softmax(scores).max())),
        }
    ]


def test_the_test_picture_uses_the_whole_range():
    picture = draw(224)
    assert (picture.shape, picture.dtype) == ((224, 224, 3), np.uint8)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[-1, 0].tolist() == [0, 254, 254]
    assert len(np.unique(picture)) > 200


def refused(arguments, capsys) -> tuple[int, str]:
    code = run(["run", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--delegate", "npu"], "there is no delegate 'npu'"),
        (["--delegate", "gpu"], "not to be had from Python"),
        (["--tpu", "usb:x", "--delegate", "edgetpu"], "names no Edge TPU"),
        (["--library", "lib.so"], "name the delegate edgetpu"),
        (["--delegate", "edgetpu"], "try:   edgekit compile"),
        (["--top", "0"], "give 1 or more"),
        (["--repeat", "0"], "must be above 0"),
        (["--timeout", "nan"], "must be above 0"),
        (["nowhere.jpg"], "nowhere.jpg cannot be read"),
        (["."], "try:   name its files: ./*"),
        (["--photo"], "No such option"),
    ],
)
def test_what_is_refused(model, capsys, arguments, says):
    code, err = refused([model, *arguments], capsys)
    assert code == 2
    assert says in err


def test_a_missing_library_ends_with_3(tmp_path, capsys):
    model = tmp_path / "tiny_edgetpu.tflite"
    model.write_bytes(compiled_model())
    arguments = [model, "--delegate", "edgetpu", "--library", tmp_path / "libnone.so"]
    code, err = refused(arguments, capsys)
    assert code == 3
    assert "cause: " + str(tmp_path / "libnone.so") in err
    assert "libedgetpu1-std" in err


def test_a_missing_device_ends_with_4(tmp_path, capsys):
    model = tmp_path / "tiny_edgetpu.tflite"
    model.write_bytes(compiled_model())
    library = build_library(tmp_path, "NO_DEVICE")
    arguments = [model, "--delegate", "edgetpu", "--library", library, "--tpu", "pci:0"]
    code, err = refused(arguments, capsys)
    assert code == 4
    assert "no Edge TPU could be opened (pci:0)" in err
    assert "plugdev" in err


def test_a_compiled_model_needs_the_delegate(tmp_path, capsys):
    model = tmp_path / "tiny_edgetpu.tflite"
    model.write_bytes(compiled_model())
    code, err = refused([model], capsys)
    assert code == 2
    assert "edgekit run --delegate edgetpu" in err


def test_logits_are_shown_with_their_probabilities(model, photos, capsys):
    found = classify(model, photos, top=5, effort=Effort(repeat=1))
    for photo in found["photos"]:
        logits = np.array([place["score"] for place in photo["top"]])
        shares = [place["probability"] for place in photo["top"]]
        assert shares == pytest.approx(np.exp(logits) / np.exp(logits).sum())
    assert run(["run", str(model), "--repeat", "1", "--top", "1"]) == 0
    out = capsys.readouterr().out
    assert "(logit " in out
    assert "the file gives logits (its metadata say so); probabilities are their softmax" in out


@pytest.mark.parametrize("name", ["SOFTMAX", "LOGISTIC"])
def test_probabilities_are_left_as_they_are(tmp_path, photos, capsys, name):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(activated(name).pack())
    found = classify(path, photos, top=5, effort=Effort(repeat=1))
    assert found["output"] == "probability"
    for place in found["photos"][0]["top"]:
        assert place["probability"] == place["score"]
    assert run(["run", str(path), "--repeat", "1"]) == 0
    out = capsys.readouterr().out
    assert "logit" not in out
    assert f"the file gives probabilities (the last operator is {name})" in out


@pytest.mark.parametrize("name", ["labels_background_1_more", "labels_one_dict"])
def test_a_green_photo_is_green(name, capsys):
    assert run(["run", str(FOREIGN / f"{name}.tflite"), str(GREEN), "--repeat", "1"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == ["1.0000", "green"]
    assert ("4 labels for 3 classes" in out) == (name == "labels_background_1_more")


def test_labels_that_do_not_fit_are_not_used(tmp_path, capsys):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(labelled(b"a\nb\n"))
    assert run(["run", str(path), "--repeat", "1"]) == 0
    out = capsys.readouterr().out
    assert "labels: the file has 2 labels for 5 classes: classes are numbers here" in out
    assert "class 0" in out


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (depth(), "its output [1, 4, 4, 1] is no single list of scores"),
        (ending_in("scores", "gated"), "it has 2 outputs"),
        (custom("TFLite_Detection_PostProcess"), "that of a detector"),
    ],
)
def test_what_is_no_classifier_is_refused(tmp_path, capsys, tiny, says):
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny.pack())
    code, err = refused([path], capsys)
    assert code == 2
    assert says in err
    assert err.endswith(f"try:   edgekit inspect {path}\n")


def test_a_normalization_is_given_for_a_file_that_states_none(tmp_path, photos, capsys):
    path = tmp_path / "float.tflite"
    path.write_bytes(float_io().pack())
    code, err = refused([path], capsys)
    assert code == 2
    assert "--mean R,G,B --std R,G,B" in err
    given = ["--mean", "127,126,125", "--std", "128", "--json", "--repeat", "1"]
    assert run(["run", str(path), str(photos[0]), *given]) == 0
    top = json.loads(capsys.readouterr().out)["photos"][0]["top"]
    how = Preprocessing(SIZE, (127.0, 126.0, 125.0), (128.0,) * 3, (), 1.0, "bilinear")
    scores = LiteRT(path, preprocessing=how).run(how.pixels(Image.open(photos[0]))[None])[0]
    assert top[0]["score"] == float(scores.max())


def test_a_normalization_is_refused_where_the_input_takes_bytes(model, capsys):
    code, err = refused([model, "--mean", "1", "--std", "1"], capsys)
    assert code == 2
    assert "its input is uint8 and takes the bytes of the photo" in err
