"""COCO's layout: which JSON file is read, and where its photos are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mask_folders import SIZE, classes_of, write_mask, write_photo
from PIL import Image

from edgekit.data.masks.find import find_layout
from edgekit.data.split_folders import ALL, TRAIN, VAL
from edgekit.errors import UsageError

BOX = [1, 1, 7, 1, 7, 6, 1, 6]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def record(count: int, names: tuple[str, ...] = ("cat", "dog"), shape: Any = (BOX,)) -> Any:
    return {
        "images": [
            {"id": 100 + n, "file_name": f"p{n:03d}.jpg", "width": SIZE[0], "height": SIZE[1]}
            for n in range(count)
        ],
        "annotations": [
            {"id": n, "image_id": 100 + n, "category_id": 3, "area": 30, "segmentation": [*shape]}
            for n in range(count)
        ],
        "categories": [{"id": 3 + i, "name": name} for i, name in enumerate(names)],
    }


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_photos(folder: Path, count: int) -> None:
    for number in range(count):
        write_photo(folder / f"p{number:03d}.jpg", number)


def test_instances_in_the_folder_of_annotations(tmp_path: Path) -> None:
    for split, count in (("train2017", 4), ("val2017", 2)):
        write_json(tmp_path / "annotations" / f"instances_{split}.json", record(count))
        write_json(tmp_path / "annotations" / f"captions_{split}.json", {"annotations": []})
        write_photos(tmp_path / split, count)
    layout = find_layout(tmp_path, "--data")
    assert layout.name == "COCO, instances"
    assert {role: len(part.masks) for role, part in layout.parts.items()} == {TRAIN: 4, VAL: 2}
    assert layout.classes.labels == ("background", "cat", "dog")
    part = layout.parts[VAL]
    assert part.photos["p001"] == tmp_path / "val2017" / "p001.jpg"
    assert Image.open(part.masks["p001"]).mode == "L"


def test_a_file_beside_the_photos_of_each_split(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("valid", 2)):
        write_json(tmp_path / split / "_annotations.coco.json", record(count))
        write_photos(tmp_path / split, count)
    layout = find_layout(tmp_path, "--data")
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 3, VAL: 2}


def test_one_file_beside_a_folder_of_photos(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", record(3))
    write_photos(tmp_path / "images", 5)
    layout = find_layout(tmp_path, "--data")
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {ALL: 3}
    assert layout.name == "COCO, other"


def test_panoptic_counts_before_stuff_and_instances(tmp_path: Path) -> None:
    found = record(2, ("sky", "grass"))
    found["annotations"] = [
        {
            "image_id": 100 + n,
            "file_name": f"p{n:03d}.png",
            "segments_info": [{"id": 1, "category_id": 3}, {"id": 2, "category_id": 4}],
        }
        for n in range(2)
    ]
    folder = tmp_path / "annotations"
    write_json(folder / "panoptic_val2017.json", found)
    write_json(folder / "instances_val2017.json", record(2))
    write_photos(tmp_path / "val2017", 2)
    for number in range(2):
        path = folder / "panoptic_val2017" / f"p{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE, (1 + number, 0, 0)).save(path)
    layout = find_layout(tmp_path, "--data")
    assert layout.name == "COCO, panoptic"
    assert layout.notes == ("its panoptic files are read, not instances",)
    values = [Image.open(path).getpixel((0, 0)) for path in layout.parts[VAL].masks.values()]
    assert values == [0, 1]


def test_different_categories_are_refused(tmp_path: Path) -> None:
    for split, names in (("train", ("cat", "dog")), ("val", ("cat", "cow"))):
        write_json(tmp_path / f"instances_{split}.json", record(2, names))
    with pytest.raises(UsageError, match="have different categories"):
        find_layout(tmp_path, "--data")


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("instances_train_a.json", "instances_train_b.json"):
        write_json(tmp_path / name, record(2))
    with pytest.raises(UsageError, match="two files have masks of the same photos") as caught:
        find_layout(tmp_path, "--data")
    assert caught.value.cause == "instances_train_a.json and instances_train_b.json"


def test_photos_that_are_missing_are_named(tmp_path: Path) -> None:
    write_json(tmp_path / "annotations" / "instances_train.json", record(2))
    with pytest.raises(UsageError, match=r"the photos of .*instances_train\.json are missing") as e:
        find_layout(tmp_path, "--data")
    assert "p000.jpg is in none of " in (e.value.cause or "")


def test_json_of_something_else_is_no_layout(tmp_path: Path) -> None:
    write_json(tmp_path / "settings.json", {"batch": 3})
    write_photos(tmp_path / "images", 2)
    for number in range(2):
        write_mask(tmp_path / "masks" / f"p{number:03d}.png", classes_of(number))
    assert find_layout(tmp_path, "--data").name == "images and masks"
