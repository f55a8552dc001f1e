"""YOLO's folders and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from box_folders import LABELS, things, write_photos, write_text, write_yolo

from edgekit.data.boxes.annotations import BoxLayout
from edgekit.data.boxes.faults import Fault
from edgekit.data.boxes.yolo.layout import find_yolo_boxes, read_yolo
from edgekit.data.split_folders import ALL, TEST, TRAIN, VAL
from edgekit.errors import UsageError

PHOTOS = things(4)


def find(root: Path) -> BoxLayout:
    layout = find_yolo_boxes(root)
    assert layout is not None
    return layout


def names(layout: BoxLayout) -> dict[str, list[str]]:
    return {role: [one.name for one in part.photos] for role, part in layout.parts.items()}


def write_splits(root: Path, first: str, second: str) -> None:
    """Writes ``images/train``, or ``train/images``."""
    for split, photos in (("train", PHOTOS), ("val", things(2, first=5))):
        images, labels = (
            "/".join(split if part == "split" else part.format(kind) for part in (first, second))
            for kind in ("images", "labels")
        )
        write_yolo(root, photos, images, labels, names=False)


@pytest.mark.parametrize("order", [("{}", "split"), ("split", "{}")])
def test_folders_of_splits(order: tuple[str, str], tmp_path: Path) -> None:
    write_splits(tmp_path, *order)
    write_text(tmp_path / "classes.txt", "\n".join(LABELS))
    layout = find(tmp_path)
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 4, VAL: 2}
    assert layout.labels == LABELS
    counts = [len(photo.classes) for photo in layout.parts[TRAIN].photos]
    assert counts == [len(boxes) for boxes in PHOTOS.values()]
    assert layout.parts[TRAIN].photos[0].is_relative


@pytest.mark.parametrize(
    ("path", "train"),
    [("", "images/train"), (".", "images/train"), ("../set", "images/train"),
     ("datasets/set", "images/train"), ("", "../images/train"), ("", "train.txt")],
)  # fmt: skip
def test_where_a_table_says_that_photos_are(path: str, train: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_splits(root, "{}", "split")
    write_text(root / "train.txt", "".join(f"./images/train/{name}\n" for name in PHOTOS))
    table = f"path: {path}\ntrain: {train}\nval: images/val\nnames: {list(LABELS)}\n"
    layout = read_yolo(write_text(root / "data.yaml", table))
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 4, VAL: 2}
    assert names(layout)[TRAIN][0] == "images/train/p000.jpg"
    assert find(root).labels == LABELS


def test_a_table_of_what_is_missing(tmp_path: Path) -> None:
    path = write_text(tmp_path / "data.yaml", "train: images\ntest: other\nnames: [a]\n")
    with pytest.raises(UsageError, match="names photos that are missing") as caught:
        read_yolo(path)
    assert "train: images" in (caught.value.cause or "")
    write_text(path, "names: [a]\n")
    with pytest.raises(UsageError, match="names no photos"):
        read_yolo(path)
    write_yolo(tmp_path, PHOTOS, names=False)
    assert set(read_yolo(path).parts) == {ALL}


def test_photos_of_a_list_that_are_missing_are_counted(tmp_path: Path) -> None:
    write_yolo(tmp_path, PHOTOS, names=False)
    write_text(tmp_path / "test.txt", "images/p000.jpg\nimages/gone.jpg\n")
    path = write_text(tmp_path / "data.yaml", "test: test.txt\nnames: [a, b, c]\n")
    part = read_yolo(path).parts[TEST]
    assert [photo.name for photo in part.photos] == ["images/p000.jpg"]
    assert part.faults == (Fault("missing", "images/gone.jpg"),)


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    write_yolo(tmp_path, PHOTOS, names=False)
    layout = find(tmp_path)
    assert layout.labels == ("class0", "class1", "class2")
    assert "no file names the classes" in layout.notes[0]


def test_photos_with_text_beside_them_need_the_classes(tmp_path: Path) -> None:
    write_yolo(tmp_path, PHOTOS, ".", ".", names=False)
    assert find_yolo_boxes(tmp_path) is None
    write_text(tmp_path / "classes.txt", "\n".join(LABELS))
    layout = find(tmp_path)
    assert names(layout)[ALL] == list(PHOTOS)
    np.testing.assert_array_equal(
        layout.parts[ALL].photos[0].classes, [one.label for one in PHOTOS["p000.jpg"]]
    )


def test_a_class_beyond_the_names_is_unknown(tmp_path: Path) -> None:
    write_yolo(tmp_path, PHOTOS, names=False)
    write_text(tmp_path / "labels" / "classes.txt", "cat\ndog\n")
    found = np.concatenate([photo.classes for photo in find(tmp_path).parts[ALL].photos])
    assert set(found.tolist()) == {-1, 0, 1}


def test_two_tables_are_ambiguous(tmp_path: Path) -> None:
    write_yolo(tmp_path, PHOTOS)
    (tmp_path / "data.yaml").rename(tmp_path / "one.yaml")
    write_text(tmp_path / "other.yml", "names: [a]")
    with pytest.raises(UsageError, match="2 files that name classes"):
        find_yolo_boxes(tmp_path)


def test_a_folder_of_images_far_above_is_not_theirs(tmp_path: Path) -> None:
    root = tmp_path / "images" / "set"
    write_yolo(root, PHOTOS, ".", ".", names=False)
    write_text(root / "classes.txt", "\n".join(LABELS))
    assert sum(len(photo.classes) for photo in find(root).parts[ALL].photos) == 6


def test_folders_without_labels_are_something_else(tmp_path: Path) -> None:
    write_photos(tmp_path / "images", PHOTOS)
    (tmp_path / "labels").mkdir()
    assert find_yolo_boxes(tmp_path) is None
