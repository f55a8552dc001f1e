"""`edgekit run` of detectors: boxes on photos, from files that end with them and from others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detector_files import LABELS, MOST, record, write_detector_file
from map_files import photo, write_map_file
from PIL import Image
from places import SHARED
from prerequisites import needs

from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.detect import detect
from edgekit.targets.measure.isolated import Effort
from edgekit.tasks.detection.kept import keep
from edgekit.tasks.detection.overlay import draw_boxes

ONCE = Effort(repeat=1)
SSD = SHARED / "weights/coco_ssd_mobilenet_v1_quant.tflite"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "street.png"
    Image.fromarray(photo()).save(path)
    return path


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("output", ["detections", "raw"])
def test_boxes_are_back_on_the_photo_whatever_the_file_ends_with(tmp_path, picture, output, fit):
    path = write_detector_file(tmp_path / "m.tflite", output, fit=fit)
    drawn = tmp_path / "drawn.png"
    found = detect(path, [picture], out=drawn, threshold=0.5, effort=ONCE)
    how, pixels = record(fit), photo()
    answer = LiteRT(path).run(how.pixels(Image.fromarray(pixels))[None])
    rows = answer[0] if output == "detections" else keep(answer, how)["detections"][0]
    rows = rows[rows[:, 4] >= 0.5]
    assert len(rows) > 1
    height, width = pixels.shape[:2]
    placement = how.place((width, height))
    corners = placement.boxes_out(rows[:, :4]).clip(0, [height, width] * 2)
    (one,) = found["photos"]
    assert [box["index"] for box in one["boxes"]] == rows[:, 5].astype(int).tolist()
    assert [box["label"] for box in one["boxes"]] == [LABELS[int(k)] for k in rows[:, 5]]
    for box, wanted in zip(one["boxes"], corners, strict=True):
        assert [box[side] for side in ("top", "left", "bottom", "right")] == pytest.approx(wanted)
    with Image.open(drawn) as image:
        wanted = draw_boxes(pixels, corners, rows[:, 5].astype(int), LABELS, rows[:, 4])
        assert np.array_equal(np.array(image), wanted)
    assert found["output"] == ("boxes" if output == "detections" else "raw")


def test_run_draws_beside_the_caller_and_lists_boxes(tmp_path, picture, capsys, monkeypatch):
    path = write_detector_file(tmp_path / "m.tflite")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    options = ["--repeat", "1", "--threshold", "0.6"]
    assert run(["run", str(path), str(picture), *options]) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "here/street-boxes.png").is_file()
    assert "drawn: street-boxes.png" in out
    assert any(name in out for name in LABELS)


def test_the_answer_as_json(tmp_path, picture, capsys):
    path = write_detector_file(tmp_path / "m.tflite")
    assert (
        run(["run", str(path), str(picture), "--json", "--repeat", "1", "-o", str(tmp_path)]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], found["output"], found["threshold"]) == ("detection", "boxes", 0.3)
    boxes = found["photos"][0]["boxes"]
    scores = [box["score"] for box in boxes]
    assert 0 < len(boxes) <= MOST
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.3


def test_no_box_is_said(tmp_path, picture, capsys, monkeypatch):
    path = write_detector_file(tmp_path / "m.tflite")
    monkeypatch.chdir(tmp_path)
    assert run(["run", str(path), str(picture), "--threshold", "1.1", "--repeat", "1"]) == 0
    assert "no box with a score of 1.1 or more" in capsys.readouterr().out


def test_a_mask_is_for_segmenters_and_a_segmenter_has_no_boxes(tmp_path, picture, capsys):
    path = write_detector_file(tmp_path / "m.tflite")
    assert run(["run", str(path), str(picture), "--mask", str(tmp_path / "x.png")]) == 2
    assert "--mask is for segmenters" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no detector"):
        detect(write_map_file(tmp_path / "s.tflite"), [picture])


@needs("shared", SSD.exists())
def test_a_foreign_detector_finds_boxes_in_photos(tmp_path):
    """SSD MobileNet of 2018: uint8, a background column, outputs without shapes."""
    picture = draw_of_shapes(tmp_path / "photo.png")
    found = detect(SSD, [picture], out=tmp_path / "boxes.png", threshold=0.01, effort=ONCE)
    (one,) = found["photos"]
    assert found["task"] == "detection"
    assert 0 < len(one["boxes"]) <= 10
    assert all(0 <= box["index"] < 90 for box in one["boxes"])
    assert all(0 <= box["left"] <= box["right"] <= 64 for box in one["boxes"])


def draw_of_shapes(path):
    pixels = np.full((48, 64, 3), 200, np.uint8)
    pixels[10:30, 20:40] = (200, 20, 20)
    Image.fromarray(pixels).save(path)
    return path
