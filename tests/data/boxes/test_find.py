"""What a data set of photos with boxes is found to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from box_folders import things, write_coco, write_photos, write_text, write_voc, write_yolo

from edgekit.data.boxes.find import find_box_layout, match_box_layout, takes_photos
from edgekit.errors import UsageError

PHOTOS = things(3)


def test_a_folder_in_a_folder_is_looked_into(tmp_path: Path) -> None:
    write_voc(tmp_path / "archive" / "set", PHOTOS)
    assert find_box_layout(tmp_path, "--data").name == "Pascal VOC"


def test_the_first_layout_counts(tmp_path: Path) -> None:
    write_yolo(tmp_path, PHOTOS)
    assert find_box_layout(tmp_path, "--data").name == "YOLO"
    write_coco(tmp_path, PHOTOS)
    assert find_box_layout(tmp_path, "--data").name == "COCO"


@pytest.mark.parametrize(("name", "expected"), [("a.json", True), ("a.CSV", True), ("a", False)])
def test_photos_of_files_may_be_elsewhere(name: str, expected: bool) -> None:
    assert takes_photos(name) == expected


def test_what_holds_no_boxes_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--data .*gone does not exist") as caught:
        find_box_layout(tmp_path / "gone", "--data")
    assert "COCO" in (caught.value.hint or "")
    write_photos(tmp_path / "cats", PHOTOS)
    write_photos(tmp_path / "dogs", PHOTOS)
    with pytest.raises(UsageError, match="holds no photos with boxes") as caught:
        find_box_layout(tmp_path, "--data")
    assert caught.value.cause == "its folders are cats, dogs"
    with pytest.raises(UsageError, match="holds no photos with boxes") as caught:
        find_box_layout(write_text(tmp_path / "list.txt", "a"), "--data")
    assert caught.value.cause == "list.txt is no JSON, CSV or YAML file"
    assert match_box_layout(tmp_path) is None


def test_photos_and_annotations_of_other_names(tmp_path: Path) -> None:
    write_voc(tmp_path, PHOTOS)
    for number, path in enumerate(sorted((tmp_path / "JPEGImages").iterdir())):
        path.rename(path.with_name(f"other{number}.jpg"))
    with pytest.raises(UsageError, match="looks like Pascal VOC, and holds no photos with boxes"):
        find_box_layout(tmp_path, "--data")
