"""Folders of photos with masks and the built-in shapes become splits."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import places
import pytest
from mask_folders import classes_of, write_data_set, write_mask, write_pairs, write_photo
from PIL import Image
from prerequisites import needs

from edgekit.data.masks import shapes
from edgekit.data.masks.folders import CAMVID as CAMVID_CLASSES
from edgekit.data.masks.photos import MaskedPhotos
from edgekit.data.masks.splits import fingerprint_masked, load_masked_splits
from edgekit.data.splits import Splits, Wanted
from edgekit.data.unlabelled import load_unlabelled
from edgekit.errors import UsageError

CAMVID = places.SHARED / "data" / "camvid"


def write_divided(root: Path, train: int = 20, val: int = 10) -> Path:
    """Writes ``train/`` and ``val/`` with photos and masks in each, all different."""
    write_pairs(root / "train" / "images", root / "train" / "masks", train)
    write_pairs(root / "val" / "images", root / "val" / "masks", val, first=train)
    (root / "classes.txt").write_text("road\ncar\nsky\n")
    return root


def test_a_folder_is_divided_by_the_hashes_of_names(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    data = write_data_set(tmp_path / "set", 120)
    splits = load_masked_splits(Wanted(data, progress=lambda *call: told.append(call)))
    assert told == [("scan", done, 120) for done in range(1, 121)]
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (96, 24, 96)
    assert splits.labels == ("road", "car", "sky")
    assert splits.source == f"--data {data} (images and masks)"
    assert not splits.builtin
    assert splits.warnings == (
        "96 calibration photos are few: activation ranges are steadier with 100 or more",
    )
    assert isinstance(splits.train, MaskedPhotos)
    number = int(splits.train.names[5][-7:-4])
    np.testing.assert_array_equal(np.array(splits.train.label(5)), classes_of(number))
    write_photo(data / "images" / "more.jpg", 5000)
    write_mask(data / "masks" / "more.png", classes_of(0))
    after = load_masked_splits(Wanted(data))
    assert len(set(splits.val.names) ^ set(after.val.names)) <= 2


def test_splits_of_a_folder_are_taken(tmp_path: Path) -> None:
    splits = load_masked_splits(Wanted(write_divided(tmp_path), calibration_count=12))
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (20, 10, 12)
    assert all(name.startswith("val/images/") for name in splits.val.names)
    assert set(splits.calibration.names) <= set(splits.train.names)
    again = load_masked_splits(Wanted(tmp_path, calibration_count=12))
    other = load_masked_splits(Wanted(tmp_path, calibration_count=12, seed=1))
    assert again.calibration.names == splits.calibration.names != other.calibration.names


def test_test_photos_are_for_validation_where_there_are_no_others(tmp_path: Path) -> None:
    write_divided(tmp_path)
    os.rename(tmp_path / "val", tmp_path / "test")
    splits = load_masked_splits(Wanted(tmp_path))
    assert len(splits.val) == 10
    assert "its test photos are for validation, as there are no others" in splits.warnings
    shutil.copytree(tmp_path / "test", tmp_path / "val")
    splits = load_masked_splits(Wanted(tmp_path))
    assert all(name.startswith("val/") for name in splits.val.names)
    assert "its test photos are left out" in splits.warnings


def test_splits_are_read_back_without_a_scan(tmp_path: Path) -> None:
    splits = load_masked_splits(Wanted(write_divided(tmp_path)))
    read = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    for name in ("train", "val", "calibration"):
        one, other = getattr(splits, name), getattr(read, name)
        assert one.digest() == other.digest()
        assert one.label(0).tobytes() == other.label(0).tobytes()
    assert read.labels == splits.labels


def test_val_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    data = write_divided(tmp_path / "a")
    val = write_data_set(tmp_path / "b", 0)
    write_pairs(val / "images", val / "masks", 8, first=500)
    splits = load_masked_splits(Wanted(data, val))
    assert len(splits.val) == 8
    assert f"--val {val} (images and masks)" in splits.source
    assert "its validation photos are left out" in splits.warnings
    os.unlink(val / "classes.txt")
    assert len(load_masked_splits(Wanted(data, val)).val) == 8
    own = load_masked_splits(Wanted(data, data / "val"))
    assert own.train.names == load_masked_splits(Wanted(data)).train.names
    assert not any("left out" in line for line in own.warnings)
    inner = load_masked_splits(Wanted(data / "train", data))
    assert all(name.startswith("val/") for name in inner.val.names)


def test_val_with_other_classes_is_refused(tmp_path: Path) -> None:
    data, val = write_data_set(tmp_path / "a"), write_data_set(tmp_path / "b")
    (val / "classes.txt").write_text("road\nsky\ncar\n")
    with pytest.raises(UsageError, match=r"--val .*b has other classes than --data") as caught:
        load_masked_splits(Wanted(data, val))
    assert "road, sky, car in " in (caught.value.cause or "")
    assert caught.value.hint


def test_validation_photos_are_taken_out_of_training(tmp_path: Path) -> None:
    data = write_divided(tmp_path)
    for kind, suffix in (("images", ".jpg"), ("masks", ".png")):
        source = data / "train" / kind / f"p003{suffix}"
        shutil.copy(source, data / "val" / kind / f"copy{suffix}")
    splits = load_masked_splits(Wanted(data))
    assert len(splits.train) == 19
    assert any("1 of 20 photos" in line for line in splits.warnings)


def test_calibration_photos_need_no_masks(tmp_path: Path) -> None:
    data = write_divided(tmp_path / "set")
    for number in range(12):
        write_photo(tmp_path / "flat" / f"{number}.jpg", 900 + number)
    write_photo(tmp_path / "flat" / "0.png", 999)  # one name, two endings
    shutil.copy(data / "val" / "images" / "p020.jpg", tmp_path / "flat")
    splits = load_masked_splits(Wanted(data, calibration=tmp_path / "flat"))
    assert len(splits.calibration) == 13
    assert "1 calibration photos are validation photos and are left out" in splits.warnings
    Splits.from_dict(json.loads(json.dumps(splits.to_dict())))


def test_calibration_of_a_data_set_takes_its_photos_and_not_its_masks(tmp_path: Path) -> None:
    data = write_divided(tmp_path / "set")
    other = write_data_set(tmp_path / "other", 0)
    write_pairs(other / "images", other / "masks", 15, first=700)
    splits = load_masked_splits(Wanted(data, calibration=other))
    assert len(splits.calibration) == 15
    assert all(name.startswith("images/") for name in splits.calibration.names)


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    os.unlink(data / "classes.txt")
    splits = load_masked_splits(Wanted(data))
    assert splits.labels == ("class0", "class1", "class2")
    assert "no file names the classes" in splits.warnings[0]


@pytest.mark.parametrize(
    ("names", "cause"),
    [("e\u0301\n\u00e9\nsky\n", "two classes"), ("a\u0007b\ncar\nsky\n", "control")],
)
def test_names_that_no_later_file_can_hold_are_refused(
    tmp_path: Path, names: str, cause: str
) -> None:
    data = write_data_set(tmp_path)
    (data / "classes.txt").write_text(names, encoding="utf-8")
    with pytest.raises(UsageError, match="has a name that no file of labels can hold") as caught:
        load_masked_splits(Wanted(data))
    assert cause in (caught.value.cause or "")


def test_a_value_without_a_class_is_named(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    values = classes_of(1)
    values[2, 2] = 7
    write_mask(data / "masks" / "p004.png", values)
    with pytest.raises(UsageError, match=r"the mask .*p004\.png has the value 7") as caught:
        load_masked_splits(Wanted(data))
    assert "names 3 classes: values are 0 to 2" in (caught.value.cause or "")
    assert "255" in (caught.value.hint or "")


def test_missing_classes_are_counted_and_named(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    (data / "classes.txt").write_text("road\ncar\nsky\nsea\nsun\n")
    warnings = load_masked_splits(Wanted(data)).warnings
    assert "2 of the 5 classes are in no training photo: sea, sun" in warnings
    assert "2 of the 5 classes are in no validation photo: sea, sun" in warnings


def test_one_class_is_none(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    (data / "classes.txt").write_text("road\n")
    with pytest.raises(UsageError, match="has one class only"):
        load_masked_splits(Wanted(data))


def test_few_photos_are_refused(tmp_path: Path) -> None:
    data = write_data_set(tmp_path, 8)
    with pytest.raises(UsageError, match="the training set has 6 photos only"):
        load_masked_splits(Wanted(data))


def test_masks_of_colors_are_read_by_a_file_of_classes(tmp_path: Path) -> None:
    data = write_data_set(tmp_path)
    colors = np.array([[128, 64, 128], [64, 0, 128], [0, 128, 192]], np.uint8)
    table = np.zeros((256, 3), np.uint8)
    table[:3] = colors
    for number in range(20):
        Image.fromarray(table[classes_of(number)]).save(data / "masks" / f"p{number:03d}.png")
    rows = zip(("road", "car", "sky"), colors.tolist(), strict=True)
    lines = [f"{name} {r} {g} {b}\n" for name, (r, g, b) in rows]
    (data / "classes.txt").write_text("".join(lines) + "void 0 0 0\n")
    splits = load_masked_splits(Wanted(data))
    number = int(splits.val.names[0][-7:-4])
    np.testing.assert_array_equal(np.array(splits.val.label(0)), classes_of(number))
    read = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    np.testing.assert_array_equal(np.array(read.val.label(0)), classes_of(number))


def test_unreadable_files_are_left_out_and_named(tmp_path: Path) -> None:
    data = write_data_set(tmp_path, 40)
    (data / "masks" / "p004.png").write_bytes(b"")
    splits = load_masked_splits(Wanted(data))
    assert splits.unreadable == (("images/p004.jpg", "its mask p004.png: the file is empty"),)
    assert len(splits.train) + len(splits.val) == 39


def test_an_error_in_a_split_names_the_option_that_was_given(tmp_path: Path) -> None:
    data = write_divided(tmp_path)
    for number in range(20, 24):
        (data / "val" / "masks" / f"p{number:03d}.png").write_bytes(b"")
    with pytest.raises(UsageError, match=f"4 of the 10 photos with masks of --data {data} cannot"):
        load_masked_splits(Wanted(data))


def test_a_fingerprint_changes_with_every_file(tmp_path: Path) -> None:
    data = write_divided(tmp_path / "set")
    for number in range(3):
        write_photo(tmp_path / "flat" / f"{number}.jpg", number)
    wanted = Wanted(data, calibration=tmp_path / "flat")
    prints = [fingerprint_masked(wanted)]
    assert fingerprint_masked(wanted) == prints[0]
    write_mask(data / "val" / "masks" / "p020.png", np.zeros((8, 12)))
    prints.append(fingerprint_masked(wanted))
    (data / "classes.txt").write_text("road\nbus\nsky\n")
    prints.append(fingerprint_masked(wanted))
    write_photo(tmp_path / "flat" / "3.jpg", 3)
    prints.append(fingerprint_masked(wanted))
    prints.append(fingerprint_masked(Wanted(data)))
    prints.append(fingerprint_masked(Wanted()))
    assert len(set(prints)) == len(prints)


def test_the_built_in_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "TRAIN_COUNT", 60)
    monkeypatch.setattr(shapes, "VAL_COUNT", 20)
    splits = load_masked_splits(Wanted(builtin_resolution=24, calibration_count=30, seed=4))
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (60, 20, 30)
    assert splits.builtin
    assert splits.labels == shapes.LABELS
    assert splits.train.load(0).size == splits.train.label(0).size == (24, 24)
    assert splits.source == "built-in shapes with masks (seed 4)"
    read = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert read.calibration.digest() == splits.calibration.digest()


@pytest.mark.parametrize("load", [load_masked_splits, fingerprint_masked])
def test_val_needs_data(load: object) -> None:
    with pytest.raises(UsageError, match="was given without --data"):
        load(Wanted(val="somewhere"))  # type: ignore[operator]


def test_photos_without_masks_may_be_learned_from_too(tmp_path: Path) -> None:
    splits = load_masked_splits(Wanted(write_divided(tmp_path / "set")))
    for number in range(4):
        write_photo(tmp_path / "more" / f"{number}.jpg", 900 + number)
    shutil.copy(tmp_path / "set" / "val" / "images" / "p020.jpg", tmp_path / "more")
    assert len(load_unlabelled(str(tmp_path / "more"), splits)) == 4


@needs("shared", CAMVID.is_dir())
def test_camvid() -> None:
    splits = load_masked_splits(Wanted(CAMVID))
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (367, 233, 256)
    assert splits.labels == CAMVID_CLASSES
    assert not splits.warnings
    assert not splits.unreadable
    mask = np.array(splits.val.label(0))
    assert mask.shape == (240, 320)
    assert set(np.unique(mask)) <= {*range(11), 255}
