"""Finished files on photos, beside one another: as a build measures them, and in every form."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from two_classes import draw_classes

from edgekit.bench.validation import (
    find_material,
    measure_subject,
    open_subject,
    validate,
)
from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.report.comparison import Paired


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes that a mean tells apart most of the time."""
    root = tmp_path_factory.mktemp("photos")
    return draw_classes(root, {"train": 16, "val": 20}, (100, 150), noise=40, spread=25)


@pytest.fixture(scope="module")
def built(photos, tmp_path_factory):
    """A run with files of every form."""
    out = tmp_path_factory.mktemp("run") / "run"
    words = f"build lite0 --width 0.1 --depth 0.1 --data {photos / 'train'} --val {photos / 'val'}"
    words += " --resolution 32 --epochs 3 --weights none --batch-size 8 --threads 1 --quiet"
    words += " --target tflite --target onnx --target openvino --calibration-count 16"
    assert run([*words.split(), "--out", str(out)]) == 0
    return out


def figures(path, photos, against=None):
    subject = open_subject(path)
    material = find_material(subject, photos / "val")
    answers = validate(subject, material, 1, lambda done, total: None)
    reference = None
    if against is not None:
        reference = validate(open_subject(against), material, 1, lambda done, total: None)
    return measure_subject(subject, material, answers, reference)


def row(built, stage):
    rows = json.loads((built / "report.json").read_text())["rows"]
    return next(one for one in rows if one["stage"] == stage)


@pytest.mark.parametrize("ending", ["tflite", "onnx", "xml"])
@pytest.mark.parametrize("form", ["fp32", "w8a8"])
def test_a_file_has_the_accuracy_that_its_build_says(built, photos, form, ending):
    (path,) = [path for path in built.glob(f"*.{ending}") if form in path.name]
    stage = f"{form}-{'openvino' if ending == 'xml' else ending}"
    found = figures(path, photos)
    assert found["top1"] == row(built, stage)["top1"]
    assert found["top1_ci95"] == pytest.approx(row(built, stage)["top1_ci95"])


def test_two_files_are_compared_photo_by_photo(built, photos):
    (before,) = built.glob("*fp32.tflite")
    found = Paired.of(figures(built, photos, before))
    said = row(built, "w8a8-tflite")
    assert found.drop_pp == pytest.approx(said["drop_pp"])
    assert found.standard_error_pp == pytest.approx(said["drop_se_pp"])
    assert found.agreement == pytest.approx(said["agreement"])


def test_a_gate_is_met_or_ends_with_5(built, photos, capsys):
    (before,) = built.glob("*fp32.tflite")
    words = ["val", str(built), "--data", str(photos / "val"), "--against", str(before)]
    assert run([*words, "--max-drop", "100"]) == 0
    shown = capsys.readouterr().out
    assert "points of top-1" in shown
    assert "noise of 40 photos" in shown
    # The other way round: a file against a better one, as far as there is one.
    found = Paired.of(figures(built, photos, before))
    worse, better = (built, before) if found.drop_pp > 0 else (before, built)
    code = run(["val", str(worse), *words[2:4], "--against", str(better), "--max-drop", "0"])
    assert code == (5 if found.drop_pp else 0)


def test_the_document_has_both_files(built, photos, capsys):
    (before,) = built.glob("*fp32.onnx")
    words = ["val", str(built), "--data", str(photos), "--against", str(before), "--json"]
    assert run([*words, "--limit", "10"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n"] == 10
    assert document["file"]["path"].endswith("w8a8-static.tflite")
    assert document["against"]["scheme"] == "fp32"
    assert set(document["comparison"]) == {
        "drop_pp",
        "standard_error_pp",
        "p_value",
        "agreement",
        "beyond_noise",
    }


def test_what_does_not_go_together_is_said(built, photos, tmp_path, capsys):
    (path,) = built.glob("*fp32.tflite")
    with pytest.raises(UsageError, match="no detector"):
        find_material(open_subject(path), photos / "val", photos=photos)
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "cats" / "1.png")
    with pytest.raises(UsageError, match="has no class 'cats'"):
        find_material(open_subject(path), tmp_path)
    data = ["--data", str(photos / "val")]
    assert run(["val", str(path), *data, "--max-drop", "1"]) == 2
    assert "--max-drop is of two files" in capsys.readouterr().err
    assert run(["val", str(path), *data, "--against", str(path), "--max-drop", "-1"]) == 2
    assert run(["val", str(tmp_path / "none.onnx"), *data]) == 2
    assert run(["val", str(path), "--data", str(tmp_path / "none")]) == 2
