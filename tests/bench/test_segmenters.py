"""`edgekit bench --device` of a segmenter: photos with masks, mean IoU, and a real device."""

from __future__ import annotations

import json
from pathlib import Path

import device as devices
import numpy as np
import pytest
from map_files import LABELS, photo, preprocessing, write_map_file
from PIL import Image
from prerequisites import skip_without

from edgekit.bench.devices import compare
from edgekit.bench.validation import find_material, measure_subject, open_subject, validate
from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.masked import in_order_of
from edgekit.targets.measure.photos import load_photos
from edgekit.tasks.registry import find_task

COUNT, CLASSES = 6, len(LABELS["unet"])


@pytest.fixture(autouse=True)
def journals(monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)


def mask_of(seed: int) -> np.ndarray:
    """Classes in patches, some of no class."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, CLASSES, (6, 6)).repeat(8, 0).repeat(8, 1)[:28, :40]
    patches[:3] = 255
    return patches.astype(np.uint8)


def photos_with_masks(root: Path, labels: tuple[str, ...] = LABELS["unet"]) -> Path:
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    (root / "classes.txt").write_text("".join(f"{label}\n" for label in labels))
    for k in range(COUNT):
        Image.fromarray(photo(seed=k)).save(root / f"images/{k}.png")
        Image.fromarray(mask_of(k)).save(root / f"masks/{k}.png")
    return root


def mean_iou(model: Path) -> float:
    """By the definition, over all pixels that have a class."""
    how, runtime = preprocessing(), LiteRT(model)
    counts = np.zeros((CLASSES, CLASSES))
    for k in range(COUNT):
        answer = runtime.run(how.pixels(Image.fromarray(photo(seed=k)))[None])[0]
        classes = answer if answer.ndim == 2 else answer.argmax(-1)
        truth = how.place((40, 28)).mask(Image.fromarray(mask_of(k)))
        for true, found in zip(truth[truth != 255], classes[truth != 255], strict=True):
            counts[true, found] += 1
    both = np.diag(counts)
    return float((both / (counts.sum(0) + counts.sum(1) - both)).mean())


@pytest.mark.parametrize("output", ["logits", pytest.param("classes", marks=pytest.mark.slow)])
def test_bench_measures_the_mean_iou_of_photos_with_masks(tmp_path, capsys, monkeypatch, output):
    missing = devices.missing()
    if missing:
        skip_without(missing)
    model = write_map_file(tmp_path / "m.tflite", "unet", output)
    data = photos_with_masks(tmp_path / "data")
    (tmp_path / "device").mkdir()
    with devices.serve_device(tmp_path / "device") as server:
        out = tmp_path / "out.json"
        arguments = ["bench", str(model), "--device", server.url, "--data", str(data)]
        arguments += ["--seconds", "0.1", "--rounds", "1", "--threads", "1", "--out", str(out)]
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        assert run(arguments) == 0
    document = json.loads(out.read_text())
    assert (document["task"], document["n"]) == ("segmentation", COUNT)
    host, there = (entry["accuracy"][0] for entry in document["devices"])
    assert host["miou"] == pytest.approx(mean_iou(model))
    assert host["agreement"] == 1
    assert there["agreement"] > 0.97
    assert there["miou"] == pytest.approx(host["miou"], abs=0.02)
    titles = capsys.readouterr().out.splitlines()[0]
    assert "mIoU %" in titles


def test_a_limit_takes_photos_and_their_masks_evenly(tmp_path):
    model = write_map_file(tmp_path / "m.tflite")
    data = photos_with_masks(tmp_path / "data")
    photos = load_photos(model, data, 2)
    assert photos.task == "segmentation"
    assert photos.note is None
    for k, seed in enumerate((0, COUNT - 1)):
        wanted = preprocessing().place((40, 28)).mask(Image.fromarray(mask_of(seed)))
        assert np.array_equal(photos.truth[k], wanted)
        shown = preprocessing().pixels(Image.fromarray(photo(seed=seed)))
        assert np.array_equal(photos.pixels[k], shown)


def test_masks_of_other_numbers_are_known_by_the_names_of_their_classes(tmp_path):
    model = write_map_file(tmp_path / "m.tflite")
    turned = tuple(reversed(LABELS["unet"]))
    data = photos_with_masks(tmp_path / "data", turned)
    truth = load_photos(model, data, 1).truth[0]
    wanted = preprocessing().place((40, 28)).mask(Image.fromarray(mask_of(0)))
    assert np.array_equal(truth[truth != 255], CLASSES - 1 - wanted[wanted != 255])
    assert np.array_equal(truth == 255, wanted == 255)


def test_a_class_that_the_file_does_not_know_is_named(tmp_path):
    model = write_map_file(tmp_path / "m.tflite")
    data = photos_with_masks(tmp_path / "data", (*LABELS["unet"][:-1], "moon"))
    with pytest.raises(UsageError, match="has no class 'moon'"):
        load_photos(model, data, None)


def test_masks_without_names_are_compared_by_number():
    masks = np.array([[0, 1, 255]], np.uint8)
    assert in_order_of("m", masks, (), ("a", "b")) is masks
    assert in_order_of("m", masks, ("b", "a"), ()) is masks
    assert in_order_of("m", masks, ("b", "a"), ("a", "b")).tolist() == [[1, 0, 255]]


@pytest.mark.parametrize("kind", ["logits", "classes"])
def test_agreement_is_that_of_pixels(kind):
    rng = np.random.default_rng(0)
    logits = rng.integers(-128, 128, (2, 4, 4, 3)).astype(np.int8)
    other = logits.copy()
    other[0, 0, 0] = [-128, -128, 127] if logits[0, 0, 0].argmax() != 2 else [127, -128, -128]
    outputs, reference = logits, other
    if kind == "classes":
        outputs, reference = (one.argmax(-1).astype(np.int32) for one in (logits, other))
    truth = logits.argmax(-1).astype(np.uint8)
    found = compare("none", outputs, truth, reference, task="segmentation")
    assert found["agreement"] == pytest.approx(31 / 32)
    assert (found["differing"], found["miou"]) == (1, 1.0)


@pytest.mark.parametrize("output", ["logits", "classes"])
def test_a_segmenter_is_validated_by_its_mean_iou(tmp_path, output):
    model = write_map_file(tmp_path / "m.tflite", output=output)
    data = photos_with_masks(tmp_path / "data", tuple(reversed(LABELS["unet"])))
    subject = open_subject(model)
    material = find_material(subject, data)
    found = validate(subject, material, 1, lambda done, total: None)
    row = measure_subject(subject, material, found, None)
    assert row["miou"] == pytest.approx(reversed_iou(model, data), abs=1e-6)


def reversed_iou(model: Path, data: Path) -> float:
    """Of masks whose classes stand in the other order."""
    photos = load_photos(model, data, None)
    answers = LiteRT(model).run(photos.pixels)
    task = find_task("segmentation")
    return task.measure(task.keep(answers, photos.preprocessing), photos.truth)["miou"]
