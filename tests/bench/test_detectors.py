"""`edgekit bench --device` of a detector: photos with boxes, COCO AP, and a real device."""

from __future__ import annotations

import json
from pathlib import Path

import device as devices
import numpy as np
import pytest
from detector_files import LABELS, record, write_detector_file
from map_files import photo
from PIL import Image
from places import SHARED
from prerequisites import needs, skip_without

from edgekit.bench.devices import compare
from edgekit.bench.validation import find_material, measure_subject, open_subject, validate
from edgekit.cli import run
from edgekit.data.boxes.measured import boxes_to_measure, layout_to_measure
from edgekit.errors import UsageError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.photos import UNNAMED, load_photos
from edgekit.tasks.detection.kept import keep
from edgekit.tasks.detection.task import TASK

COUNT = 6
SSD = SHARED / "weights/coco_ssd_mobilenet_v1_quant.tflite"


@pytest.fixture(autouse=True)
def journals(monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)


def answers(model: Path) -> np.ndarray:
    """What is kept of the file's answers to the photos."""
    how, runtime = record(), LiteRT(model)
    shown = np.stack([how.pixels(Image.fromarray(photo(seed=k))) for k in range(COUNT)])
    return keep(runtime.run(shown), how)


def photos_with_boxes(
    root: Path, model: Path, labels: tuple[str, ...] = LABELS
) -> tuple[Path, Path]:
    """COCO's JSON, and its photos: boxes near every second one that the file finds."""
    (root / "images").mkdir(parents=True)
    images, boxes = [], []
    for k, kept in enumerate(answers(model)):
        Image.fromarray(photo(seed=k)).save(root / f"images/{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "width": 40, "height": 28})
        found = kept["detections"]
        for top, left, bottom, right, _, label in found[found[:, 4] > 0.4][::2].tolist():
            left, right = (float(np.clip(40 * value, 0, 40)) for value in (left, right))
            top, bottom = (float(np.clip(28 * value, 0, 28)) for value in (top, bottom))
            if right - left >= 1 and bottom - top >= 1:
                bbox = [left, top, right - left, bottom - top - 0.2]
                one = {"id": len(boxes) + 1, "image_id": k, "category_id": int(label) + 1}
                boxes.append({**one, "bbox": bbox, "iscrowd": 0})
    categories = [{"id": k + 1, "name": label} for k, label in enumerate(labels)]
    document = {"images": images, "annotations": boxes, "categories": categories}
    (root / "boxes.json").write_text(json.dumps(document))
    return root / "boxes.json", root / "images"


@pytest.mark.parametrize("output", ["raw", pytest.param("detections", marks=pytest.mark.slow)])
def test_bench_measures_coco_ap_of_photos_with_boxes(tmp_path, capsys, monkeypatch, output):
    missing = devices.missing()
    if missing:
        skip_without(missing)
    model = write_detector_file(tmp_path / "m.tflite", output)
    data, images = photos_with_boxes(tmp_path / "data", model)
    photos, _ = boxes_to_measure(layout_to_measure(data, images), data, LABELS)
    wanted = TASK.measure(answers(model), TASK.labels(photos, record()))["ap"]
    assert wanted > 0.1
    (tmp_path / "device").mkdir()
    with devices.serve_device(tmp_path / "device") as server:
        out = tmp_path / "out.json"
        arguments = ["bench", str(model), "--device", server.url, "--data", str(data)]
        arguments += ["--photos", str(images), "--seconds", "0.1", "--rounds", "1"]
        arguments += ["--threads", "1", "--out", str(out)]
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        assert run(arguments) == 0
    document = json.loads(out.read_text())
    assert (document["task"], document["n"], document["note"]) == ("detection", COUNT, None)
    host, there = (entry["accuracy"][0] for entry in document["devices"])
    assert host["ap"] == pytest.approx(wanted, abs=1e-9)
    assert host["agreement"] == 1
    assert there["agreement"] > 0.9
    assert there["ap"] == pytest.approx(host["ap"], abs=0.05)
    assert "COCO AP %" in capsys.readouterr().out.splitlines()[0]


def test_a_limit_takes_photos_and_their_boxes_evenly(tmp_path):
    model = write_detector_file(tmp_path / "m.tflite")
    data, images = photos_with_boxes(tmp_path / "data", model)
    every = load_photos(model, data, None, photos=images)
    photos = load_photos(model, data, 2, photos=images)
    for k, place in enumerate((0, COUNT - 1)):
        assert np.array_equal(photos.pixels[k], every.pixels[place])
        assert photos.truth[k].placement == every.truth[place].placement
        assert np.array_equal(photos.truth[k].boxes.corners, every.truth[place].boxes.corners)


def test_boxes_of_other_numbers_are_known_by_the_names_of_their_classes(tmp_path):
    model = write_detector_file(tmp_path / "m.tflite")
    data, images = photos_with_boxes(tmp_path / "data", model, tuple(reversed(LABELS)))
    straight, _ = photos_with_boxes(tmp_path / "straight", model)
    turned = load_photos(model, data, None, photos=images).truth
    same = load_photos(model, straight, None, photos=tmp_path / "straight/images").truth
    for one, other in zip(turned, same, strict=True):
        assert np.array_equal(one.boxes.classes, len(LABELS) - 1 - other.boxes.classes)


def test_a_class_that_the_file_does_not_know_is_named(tmp_path):
    model = write_detector_file(tmp_path / "m.tflite")
    data, images = photos_with_boxes(tmp_path / "data", model, (*LABELS[:-1], "moon"))
    with pytest.raises(UsageError, match="the detector has no class 'moon'"):
        load_photos(model, data, None, photos=images)


def test_photos_without_boxes_and_the_drawn_one_are_compared_with_the_host(tmp_path):
    model = write_detector_file(tmp_path / "m.tflite", "raw")
    _, images = photos_with_boxes(tmp_path / "data", model)
    for source in (images, None):
        photos = load_photos(model, source, None)
        assert photos.truth is None
        outputs = LiteRT(model).run(photos.pixels)
        found = compare(
            "none", outputs, None, outputs, task=photos.task, preprocessing=photos.preprocessing
        )
        assert (found["agreement"], found["ap"]) == (1.0, None)


def test_a_folder_of_photos_is_for_boxes_in_a_file(tmp_path, capsys):
    model = write_detector_file(tmp_path / "m.tflite")
    command = ["bench", str(model), "--device", "adb:", "--photos", str(tmp_path)]
    assert run(command) == 2
    assert "was given without --data" in capsys.readouterr().err
    assert run(["bench", str(model), "--photos", str(tmp_path)]) == 2
    assert "are for devices" in capsys.readouterr().err


@needs("shared", SSD.exists())
def test_a_detector_of_another_tool_is_measured_by_the_numbers_of_its_classes(tmp_path):
    data = SHARED / "data/bccd"
    photos = load_photos(SSD, data, 2)
    assert photos.note == UNNAMED
    outputs = LiteRT(SSD).run(photos.pixels)
    found = compare(
        "none", outputs, photos.truth, outputs, task="detection", preprocessing=photos.preprocessing
    )
    assert found["agreement"] == 1
    assert 0 <= found["ap"] < 0.1


@pytest.mark.parametrize("output", ["raw", "detections"])
def test_a_detector_is_validated_by_its_ap(tmp_path, output):
    model = write_detector_file(tmp_path / "m.tflite", output)
    data, images = photos_with_boxes(tmp_path / "data", model)
    photos, _ = boxes_to_measure(layout_to_measure(data, images), data, LABELS)
    wanted = TASK.measure(answers(model), TASK.labels(photos, record()))["ap"]
    subject = open_subject(model)
    material = find_material(subject, data, photos=images)
    found = validate(subject, material, 1, lambda done, total: None)
    row = measure_subject(subject, material, found, found)
    assert row["ap"] == pytest.approx(wanted, abs=1e-9)
    assert (row["drop_pp"], row["agreement"]) == (0, 1)
