"""A finished detector is measured on a data set's validation photos, in its own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from box_folders import LABELS, things, write_coco, write_voc

from edgekit.data.boxes.measured import boxes_to_measure, layout_to_measure
from edgekit.errors import UsageError


def read(data: Path, *args: Any, photos: Path | None = None, **fields: Any) -> Any:
    layout = layout_to_measure(data, photos)
    assert layout is not None
    return boxes_to_measure(layout, data, *args, **fields)


def test_validation_photos_count(tmp_path: Path) -> None:
    write_voc(tmp_path / "train", things(6))
    write_voc(tmp_path / "test", things(3, first=20))
    assert len(read(tmp_path)[0]) == 3
    write_voc(tmp_path / "val", things(4, first=40))
    told: list[int] = []
    photos, labels = read(tmp_path, progress=lambda _, done, __: told.append(done))
    assert photos.names[0] == "val/JPEGImages/p040.jpg"
    assert told == [1, 2, 3, 4]
    assert labels == LABELS


def test_boxes_have_the_classes_of_the_detector(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "a", things(4))
    (tmp_path / "a" / "images").rename(tmp_path / "photos")
    known = ("zebra", "bird", "dog", "cat")
    photos, labels = read(path, known, photos=tmp_path / "photos")
    assert labels == known
    own, _ = read(path, photos=tmp_path / "photos")
    for index in range(4):
        names = [LABELS[label] for label in own.label(index).classes]
        assert [known[label] for label in photos.label(index).classes] == names


def test_a_class_that_the_detector_lacks_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path, things(4))
    with pytest.raises(UsageError, match="the detector has no class 'zebra'") as caught:
        read(tmp_path, ("dog", "cat"))
    assert "the detector knows dog, cat" in (caught.value.cause or "")
