"""Pascal VOC's folders, and photos with XML files beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from box_folders import (
    LABELS,
    Thing,
    things,
    voc_object,
    voc_xml,
    write_photos,
    write_text,
    write_voc,
)

from edgekit.data.boxes.annotations import BoxLayout
from edgekit.data.boxes.faults import Fault
from edgekit.data.boxes.voc.layout import find_voc_boxes
from edgekit.data.split_folders import ALL, TEST, TRAIN, VAL


def find(root: Path) -> BoxLayout:
    layout = find_voc_boxes(root)
    assert layout is not None
    return layout


def names(layout: BoxLayout, role: str) -> list[str]:
    return [photo.name for photo in layout.parts[role].photos]


def test_lists_divide_the_photos(tmp_path: Path) -> None:
    write_voc(tmp_path, things(6))
    lists = tmp_path / "ImageSets" / "Main"
    write_text(lists / "train.txt", "p000\np001\np002\n")
    write_text(lists / "val.txt", "p003\n")
    write_text(lists / "trainval.txt", "p000\np001\np002\np003\n")
    write_text(lists / "test.txt", "p004\np009\n")
    write_text(lists / "cat_train.txt", "p005  1\n")
    layout = find(tmp_path)
    assert layout.labels == LABELS
    assert set(layout.parts) == {TRAIN, VAL, TEST}
    assert names(layout, TRAIN) == [f"JPEGImages/p00{number}.jpg" for number in range(3)]
    assert names(layout, VAL) == ["JPEGImages/p003.jpg"]
    assert names(layout, TEST) == ["JPEGImages/p004.jpg"]


@pytest.mark.parametrize("name", ["trainval", "val"])
def test_a_list_alone_is_all(name: str, tmp_path: Path) -> None:
    write_voc(tmp_path, things(3))
    write_text(tmp_path / "ImageSets" / "Main" / f"{name}.txt", "p000\np001\n")
    layout = find(tmp_path)
    (part,) = layout.parts.values()
    assert len(part.photos) == 2


def test_the_devkit_has_its_folders_further_down(tmp_path: Path) -> None:
    write_voc(tmp_path / "VOC2012", things(3))
    assert names(find(tmp_path), ALL)[0] == "VOC2012/JPEGImages/p000.jpg"


def test_folders_of_splits(tmp_path: Path) -> None:
    write_voc(tmp_path / "train", things(3), ".", ".")
    write_voc(tmp_path / "valid", things(2, first=5))
    layout = find(tmp_path)
    assert (len(layout.parts[TRAIN].photos), len(layout.parts[VAL].photos)) == (3, 2)
    assert layout.name == "Pascal VOC"


def test_photos_and_files_side_by_side(tmp_path: Path) -> None:
    write_voc(tmp_path, things(3), ".", ".")
    layout = find(tmp_path)
    assert layout.name == "photos with XML files"
    assert names(layout, ALL) == ["p000.jpg", "p001.jpg", "p002.jpg"]


def test_a_renamed_photo_is_known_by_what_its_file_says(tmp_path: Path) -> None:
    write_photos(tmp_path / "images", ["7.jpg"])
    text = voc_xml("7.jpg", voc_object("cat", (1, 1, 5, 5)))
    write_text(tmp_path / "annotations" / "other.xml", text)
    part = find(tmp_path).parts[ALL]
    assert [photo.name for photo in part.photos] == ["images/7.jpg"]
    assert part.faults == ()


def test_files_further_down_the_folder_of_annotations(tmp_path: Path) -> None:
    write_voc(tmp_path, things(3), "images", "annotations/xmls")
    part = find(tmp_path).parts[ALL]
    assert [photo.name for photo in part.photos] == [f"images/p00{n}.jpg" for n in range(3)]
    assert part.faults == ()


def test_what_has_no_counterpart_is_counted(tmp_path: Path) -> None:
    write_voc(tmp_path, things(4))
    (tmp_path / "JPEGImages" / "p001.jpg").unlink()
    (tmp_path / "Annotations" / "p002.xml").unlink()
    part = find(tmp_path).parts[ALL]
    assert [photo.name for photo in part.photos] == ["JPEGImages/p000.jpg", "JPEGImages/p003.jpg"]
    assert part.faults == (
        Fault("missing", "p001.jpg"),
        Fault("unannotated", "JPEGImages/p002.jpg"),
    )


def test_a_file_names_the_classes_and_their_order(tmp_path: Path) -> None:
    photos = {"p0.jpg": [Thing(0, (1, 1, 5, 5)), Thing(1, (1, 1, 9, 9)), Thing(2, (2, 2, 9, 9))]}
    write_voc(tmp_path, photos)
    write_text(tmp_path / "classes.txt", "zebra\ncat\n")
    layout = find(tmp_path)
    assert layout.labels == ("zebra", "cat")
    assert layout.is_closed
    np.testing.assert_array_equal(layout.parts[ALL].photos[0].classes, [1, -1, 0])


def test_difficult_things_are_as_crowds(tmp_path: Path) -> None:
    write_photos(tmp_path, ["p0.jpg"])
    objects = voc_object("cat", (1, 1, 5, 5)) + voc_object(
        "cat", (1, 1, 9, 9), "<difficult>1</difficult>"
    )
    write_text(tmp_path / "p0.xml", voc_xml("p0.jpg", objects))
    assert find(tmp_path).parts[ALL].photos[0].crowds.tolist() == [False, True]


def test_folders_without_xml_are_something_else(tmp_path: Path) -> None:
    write_photos(tmp_path / "images", things(2))
    write_text(tmp_path / "labels" / "p000.txt", "")
    assert find_voc_boxes(tmp_path) is None
