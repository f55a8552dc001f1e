"""Data sets of photos with boxes, and the built-in shapes, become splits."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from box_folders import (
    LABELS,
    coco_record,
    things,
    write_coco,
    write_photos,
    write_table,
    write_text,
    write_voc,
    write_yolo,
)

from edgekit.data.boxes import shapes
from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.boxes.splits import fingerprint_boxes, load_box_splits
from edgekit.data.splits import Splits, Wanted
from edgekit.errors import UsageError


def write_divided(root: Path, train: int = 20, val: int = 10) -> Path:
    """Writes ``train/`` and ``val/``, each with photos and XML files, all different."""
    write_voc(root / "train", things(train))
    write_voc(root / "val", things(val, first=train))
    return root


def test_a_folder_is_divided_by_the_hashes_of_names(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    data = write_voc(tmp_path / "set", things(60))
    splits = load_box_splits(Wanted(data, progress=lambda *call: told.append(call)))
    assert told == [("scan", done, 60) for done in range(1, 61)]
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (48, 12, 48)
    assert splits.labels == LABELS
    assert splits.source == f"--data {data} (Pascal VOC)"
    assert not splits.builtin
    assert isinstance(splits.train, BoxedPhotos)
    number = int(splits.train.names[5][-7:-4])
    expected = [one.corners for one in things(1, number)[f"p{number:03d}.jpg"]]
    np.testing.assert_array_equal(splits.train.label(5).corners, expected)
    write_voc(data, things(1, first=500))
    after = load_box_splits(Wanted(data))
    assert len(set(splits.val.names) ^ set(after.val.names)) <= 2


def test_splits_of_a_folder_are_taken(tmp_path: Path) -> None:
    splits = load_box_splits(Wanted(write_divided(tmp_path), calibration_count=12))
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (20, 10, 12)
    assert all(name.startswith("val/") for name in splits.val.names)
    assert set(splits.calibration.names) <= set(splits.train.names)
    assert splits.source == f"--data {tmp_path} (Pascal VOC)"
    other = load_box_splits(Wanted(tmp_path, calibration_count=12, seed=1))
    assert splits.calibration.names != other.calibration.names


def test_test_photos_are_for_validation_where_there_are_no_others(tmp_path: Path) -> None:
    write_divided(tmp_path)
    os.rename(tmp_path / "val", tmp_path / "test")
    splits = load_box_splits(Wanted(tmp_path))
    assert len(splits.val) == 10
    assert "its test photos are for validation, as there are no others" in splits.warnings
    shutil.copytree(tmp_path / "test", tmp_path / "val")
    splits = load_box_splits(Wanted(tmp_path))
    assert all(name.startswith("val/") for name in splits.val.names)
    assert "its test photos are left out" in splits.warnings


def test_splits_are_read_back_without_a_scan(tmp_path: Path) -> None:
    splits = load_box_splits(Wanted(write_divided(tmp_path)))
    read = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    for name in ("train", "val", "calibration"):
        one, other = getattr(splits, name), getattr(read, name)
        assert one.digest() == other.digest()
        np.testing.assert_array_equal(one.label(0).corners, other.label(0).corners)


def test_photos_elsewhere_than_their_annotations(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "a", things(20))
    (tmp_path / "a" / "images").rename(tmp_path / "photos")
    splits = load_box_splits(Wanted(path, photos=tmp_path / "photos"))
    assert len(splits.train) + len(splits.val) == 20
    assert fingerprint_boxes(Wanted(path, photos=tmp_path / "photos"))
    write_photos(tmp_path / "more", things(6, first=50))
    val = write_text(tmp_path / "val.json", json.dumps(coco_record(things(6, first=50))))
    splits = load_box_splits(Wanted(path, val, photos=tmp_path / "photos"))
    assert (len(splits.train), len(splits.val)) == (20, 6)
    assert splits.source == f"--data {path} (COCO), --val {val} (COCO)"
    with pytest.raises(UsageError, match=r"--photos .* is for a file of annotations"):
        load_box_splits(Wanted(tmp_path, photos=tmp_path / "photos"))
    with pytest.raises(UsageError, match=r"--photos .* is no folder"):
        load_box_splits(Wanted(path, photos=tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"--photos .* was given without --data"):
        load_box_splits(Wanted(photos=tmp_path / "photos"))


def test_val_has_the_classes_of_data_in_any_order_and_form(tmp_path: Path) -> None:
    data = write_voc(tmp_path / "a", things(20))
    val = write_yolo(tmp_path / "b", things(6, first=50), names=False)
    write_text(val / "data.yaml", "train: images\nnames: [dog, zebra, cat]\n")
    splits = load_box_splits(Wanted(data, val))
    assert isinstance(splits.val, BoxedPhotos)
    expected = [(one.label + 1) % 3 for one in things(1, 50)["p050.jpg"]]
    assert splits.val.names[0] == "images/p050.jpg"
    assert splits.val.label(0).classes.tolist() == expected
    write_text(val / "data.yaml", "train: images\nnames: [dog, zebra, horse]\n")
    with pytest.raises(UsageError, match=r"--val .*b has other classes than --data") as caught:
        load_box_splits(Wanted(data, val))
    assert "horse in " in (caught.value.cause or "")


def test_val_may_be_a_part_of_data(tmp_path: Path) -> None:
    data = write_divided(tmp_path)
    own = load_box_splits(Wanted(data, data / "val"))
    assert (len(own.train), len(own.val)) == (20, 10)
    assert not any("left out" in line for line in own.warnings)
    other = load_box_splits(Wanted(data, write_voc(tmp_path / "more", things(5, first=90))))
    assert "its validation photos are left out" in other.warnings


def test_validation_photos_are_taken_out_of_training(tmp_path: Path) -> None:
    data = write_divided(tmp_path)
    for kind, name in (("JPEGImages", "p003.jpg"), ("Annotations", "p003.xml")):
        shutil.copy(data / "train" / kind / name, data / "val" / kind / name)
    splits = load_box_splits(Wanted(data))
    assert len(splits.train) == 19
    assert any("1 of 20 photos" in line for line in splits.warnings)


def test_calibration_photos_need_no_boxes_and_are_no_validation_photos(tmp_path: Path) -> None:
    data = write_divided(tmp_path / "set")
    write_photos(tmp_path / "flat", [f"{number}.jpg" for number in range(900, 912)])
    shutil.copy(data / "val" / "JPEGImages" / "p020.jpg", tmp_path / "flat")
    splits = load_box_splits(Wanted(data, calibration=tmp_path / "flat"))
    assert len(splits.calibration) == 12
    assert "1 calibration photos are validation photos and are left out" in splits.warnings
    table = write_table(tmp_path / "table", things(15, first=700))
    for source in (table, table.parent):
        calibration = load_box_splits(Wanted(data, calibration=source)).calibration
        assert calibration.names == tuple(things(15, first=700))
        assert fingerprint_boxes(Wanted(data, calibration=source)) != fingerprint_boxes(
            Wanted(data)
        )


def test_classes_without_boxes_are_told(tmp_path: Path) -> None:
    data = write_yolo(tmp_path, things(30), names=False)
    write_text(data / "data.yaml", f"train: images\nnames: {[*LABELS, 'gnu']}\n")
    splits = load_box_splits(Wanted(data))
    assert splits.labels == (*LABELS, "gnu")
    assert "1 of the 4 classes are in no training photo: gnu" in splits.warnings
    assert "1 of the 4 classes are in no validation photo: gnu" in splits.warnings


def test_too_few_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the training set has 4 photos only"):
        load_box_splits(Wanted(write_voc(tmp_path, things(5))))


def test_a_validation_set_without_boxes_is_refused(tmp_path: Path) -> None:
    data = write_divided(tmp_path)
    for path in (data / "val" / "Annotations").iterdir():
        text = path.read_text()
        path.write_text(
            text[: text.index("<object")] + "</annotation>" if "<object" in text else text
        )
    with pytest.raises(UsageError, match=r"no photo of --data .* has a box"):
        load_box_splits(Wanted(data))


def test_the_fingerprint_changes_with_what_is_annotated(tmp_path: Path) -> None:
    data = write_divided(tmp_path)
    known = {fingerprint_boxes(Wanted(data))}
    assert fingerprint_boxes(Wanted(data)) in known
    xml = data / "train" / "Annotations" / "p000.xml"
    changes = (
        lambda: xml.write_text(xml.read_text().replace("<xmin>3<", "<xmin>4<")),
        lambda: xml.write_text(xml.read_text().replace("cat", "dog")),
        lambda: os.utime(data / "val" / "JPEGImages" / "p020.jpg", (1, 1)),
        lambda: (data / "val" / "JPEGImages" / "p021.jpg").unlink(),
        lambda: write_text(data / "classes.txt", "zebra\ncat\ndog\n"),
    )
    for change in changes:
        change()
        found = fingerprint_boxes(Wanted(data))
        assert found not in known
        known.add(found)


def test_the_built_in_shapes() -> None:
    splits = load_box_splits(Wanted(builtin_resolution=32, seed=3))
    assert (len(splits.train), len(splits.val)) == (shapes.TRAIN_COUNT, shapes.VAL_COUNT)
    assert len(splits.calibration) == 256
    assert splits.builtin
    assert splits.labels == shapes.LABELS
    assert splits.source == "built-in shapes with boxes (seed 3)"
    read = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert read.calibration.digest() == splits.calibration.digest()
    assert fingerprint_boxes(Wanted())
    with pytest.raises(UsageError, match="without --data"):
        load_box_splits(Wanted(val="x"))
