"""COCO's JSON: which files are read, where their photos are, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_folders import LABELS, coco_record, things, write_coco, write_photos, write_text

from edgekit.data.boxes.coco import find_coco_boxes, read_coco
from edgekit.data.boxes.faults import Fault
from edgekit.data.split_folders import ALL, TRAIN, VAL
from edgekit.errors import UsageError

PHOTOS = things(3)
BOX = {"image_id": 100, "category_id": 3, "bbox": [1, 2, 3, 4]}


def write(root: Path, **changes: Any) -> Path:
    """Writes photos and a record in which some fields are others."""
    write_photos(root, PHOTOS)
    return write_text(root / "boxes.json", json.dumps(coco_record(PHOTOS) | changes))


def test_classes_are_numbered_in_the_order_of_their_ids(tmp_path: Path) -> None:
    record = coco_record(PHOTOS, ids=(90, 2, 17))
    layout = read_coco(write(tmp_path, **record), tmp_path)
    assert layout.labels == ("dog", "zebra", "cat")
    photo = layout.parts[ALL].photos[0]
    assert [layout.labels[label] for label in photo.classes] == [
        LABELS[one.label] for one in PHOTOS["p000.jpg"]
    ]
    assert photo.size == (40, 20)
    np.testing.assert_array_equal(photo.corners[0], PHOTOS["p000.jpg"][0].corners)


def test_crowds_and_areas_are_kept(tmp_path: Path) -> None:
    record = coco_record(PHOTOS)
    record["annotations"][0] |= {"iscrowd": 1, "area": 33.5}
    record["annotations"][1] |= {"area": 0}
    (first, second, _) = read_coco(write(tmp_path, **record), tmp_path).parts[ALL].photos
    assert first.crowds.tolist() == [True]
    assert first.areas.tolist() == [33.5]
    assert np.isnan(second.areas).all()
    assert not second.crowds.any()


def test_the_layout_of_the_challenge(tmp_path: Path) -> None:
    for split, photos in (("train2017", things(3)), ("val2017", things(2, first=5))):
        write_photos(tmp_path / split, photos)
        path = tmp_path / "annotations" / f"instances_{split}.json"
        write_text(path, json.dumps(coco_record(photos)))
        write_text(path.with_name(f"captions_{split}.json"), '{"annotations": []}')
    layout = find_coco_boxes(tmp_path)
    assert layout is not None
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 3, VAL: 2}
    assert layout.parts[VAL].photos[0].path == tmp_path / "val2017" / "p005.jpg"
    assert layout.source == "instances_train2017.json, instances_val2017.json"


def test_a_file_in_each_folder_of_a_split(tmp_path: Path) -> None:
    for split, photos in (("train", things(3)), ("valid", things(2, first=5))):
        write_photos(tmp_path / split, photos)
        path = tmp_path / split / "_annotations.coco.json"
        write_text(path, json.dumps(coco_record(photos)))
    layout = find_coco_boxes(tmp_path)
    assert layout is not None
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 3, VAL: 2}


def test_photos_are_in_the_folder_that_the_user_names(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "a", PHOTOS)
    (tmp_path / "a" / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"photos of .* are missing") as caught:
        read_coco(path, path.parent)
    assert "p000.jpg" in (caught.value.cause or "")
    photos = read_coco(path, path.parent, tmp_path / "elsewhere").parts[ALL].photos
    assert [photo.path for photo in photos] == [tmp_path / "elsewhere" / name for name in PHOTOS]


def test_what_is_missing_and_not_listed_is_counted(tmp_path: Path) -> None:
    record = coco_record(PHOTOS)
    record["annotations"][1]["image_id"] = 5
    record["annotations"][2]["category_id"] = 1000
    record["images"].append(dict(record["images"][2], id=9))
    record["annotations"].append(dict(record["annotations"][2], image_id=9, category_id=3))
    path = write(tmp_path, **record)
    (tmp_path / "p000.jpg").unlink()
    part = read_coco(path, tmp_path).parts[ALL]
    assert set(part.faults) == {
        Fault("missing", "p000.jpg"),
        Fault("unlisted", "annotations[1]"),
        Fault("listed", "p002.jpg"),
    }
    assert [photo.name for photo in part.photos] == ["p001.jpg", "p002.jpg"]
    assert len(part.photos[0].classes) == 1
    assert (part.photos[0].classes == -1).sum() + (part.photos[1].classes == -1).sum() == 1
    assert part.element.format(part.photos[1].numbers[-1]) == "annotations[4]"


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        ("images", None, "Expected `array`, got `null` - at `$.images`"),
        ("images", [5], "Expected `object`, got `int` - at `$.images[0]`"),
        ("images", [{"id": 1}], "missing required field `file_name` - at `$.images[0]`"),
        ("categories", [{"id": "a", "name": "b"}], "got `str` - at `$.categories[0].id`"),
        ("annotations", [{"image_id": 1}], "field `category_id` - at `$.annotations[0]`"),
        (
            "annotations",
            [BOX, {"image_id": 100, "category_id": 3}],
            "missing required field `bbox` - at `$.annotations[1]`",
        ),
        (
            "annotations",
            [BOX | {"bbox": [1, 2, 3]}],
            "Expected `array` of length 4 - at `$.annotations[0].bbox`",
        ),
        ("annotations", [BOX | {"bbox": [1, 2, 3, float("nan")]}], "$.annotations[0].bbox[3]"),
        ("annotations", [BOX | {"bbox": [1, 2, 3, float("inf")]}], "$.annotations[0].bbox[3]"),
        ("annotations", [BOX | {"bbox": [10**400, 2, 3, 4]}], "$.annotations[0].bbox[0]"),
        ("annotations", [BOX | {"bbox": [True, 2, 3, 4]}], "$.annotations[0].bbox[0]"),
    ],
)
def test_a_broken_record_is_named(field: str, value: Any, cause: str, tmp_path: Path) -> None:
    path = write(tmp_path, **{field: value})
    with pytest.raises(UsageError, match="cannot be read as COCO's JSON") as caught:
        read_coco(path, tmp_path)
    assert cause in (caught.value.cause or "")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"images": [],\n "annotations" []}', "Expecting ':' delimiter: line 2 column 16"),
        ("", "Expecting value: line 1 column 1"),
        ('{"more":' + "[" * 100_000, "recursion"),
    ],
)
def test_text_that_is_no_json(text: str, cause: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read as COCO's JSON") as caught:
        read_coco(write_text(tmp_path / "a.json", text), tmp_path)
    assert cause in (caught.value.cause or "")


def test_what_exporters_add_and_python_writes_is_taken(tmp_path: Path) -> None:
    record = coco_record(PHOTOS)
    record["annotations"][0] |= {"area": float("nan"), "iscrowd": False, "score": float("inf")}
    record["images"][0] |= {"width": 40.0, "licence": {"id": [1]}}
    path = write(tmp_path, **record, info={"year": None})
    path.write_text(path.read_text(), encoding="utf-8-sig")
    (first, _, _) = read_coco(path, tmp_path).parts[ALL].photos
    assert np.isnan(first.areas).all()
    assert first.size == (40, 20)


def test_files_with_different_categories_are_refused(tmp_path: Path) -> None:
    for split, ids in (("train", (1, 2, 3)), ("val", (3, 2, 1))):
        write_photos(tmp_path / split, PHOTOS)
        record = json.dumps(coco_record(PHOTOS, ids))
        write_text(tmp_path / "annotations" / f"instances_{split}.json", record)
    with pytest.raises(UsageError, match="different categories"):
        find_coco_boxes(tmp_path)


def test_panoptic_files_have_no_boxes(tmp_path: Path) -> None:
    write_text(tmp_path / "annotations" / "panoptic_val2017.json", json.dumps(coco_record({})))
    assert find_coco_boxes(tmp_path) is None
