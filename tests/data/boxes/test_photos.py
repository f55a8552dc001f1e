"""Photos with boxes as a set that can be written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from box_folders import SIZE, write_photos

from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.splits import photos_from_dict


@pytest.fixture
def photos(tmp_path: Path) -> BoxedPhotos:
    names = ("p0.jpg", "p1.jpg", "p2.jpg")
    write_photos(tmp_path, names)
    one = make_boxes([[1, 2.3, 5, 6], [0, 0, 9, 9]], [3, 1])
    return BoxedPhotos(
        places=tuple(tmp_path / name for name in names),
        names=names,
        labels=np.full(3, -1, np.int64),
        hashes=("a", "b", "c"),
        boxes=(
            one,
            make_boxes([], []),
            Boxes(one.corners + 1, one.classes, np.array([True, False]), one.areas / 3),
        ),
        sizes=(SIZE, (7, 9), SIZE),
    )


def same(one: Boxes, other: Boxes) -> None:
    for name in ("corners", "classes", "crowds", "areas"):
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


def test_a_record_gives_the_same_set(photos: BoxedPhotos) -> None:
    read = photos_from_dict(json.loads(json.dumps(photos.to_dict())))
    assert isinstance(read, BoxedPhotos)
    assert read.digest() == photos.digest()
    assert read.sizes == photos.sizes
    assert read.places == photos.places
    for index in range(3):
        same(read.label(index), photos.label(index))
    nothing = photos.subset([])
    assert photos_from_dict(nothing.to_dict()).digest() == nothing.digest()


def test_a_damaged_record_is_refused(photos: BoxedPhotos) -> None:
    record = photos.to_dict()
    with pytest.raises(ValueError, match="4 boxes, where photos have 5"):
        photos_from_dict(record | {"counts": [2, 1, 2]})
    with pytest.raises(KeyError):
        photos_from_dict({key: value for key, value in record.items() if key != "boxes"})


def test_a_subset_has_its_own_boxes(photos: BoxedPhotos) -> None:
    part = photos.subset([2, 1])
    assert part.names == ("p2.jpg", "p1.jpg")
    assert [part.size(i) for i in range(2)] == [SIZE, (7, 9)]
    same(part.label(0), photos.label(2))
    assert len(part.label(1)) == 0


def test_the_digest_covers_boxes(photos: BoxedPhotos) -> None:
    first, empty, last = photos.boxes
    others = [
        replace(photos, boxes=(first, last, empty)),
        replace(photos, boxes=(empty, first, last)),
        replace(photos, boxes=(replace(first, corners=first.corners + 0.1), empty, last)),
        replace(photos, boxes=(replace(first, classes=first.classes + 1), empty, last)),
        replace(photos, boxes=(replace(first, crowds=~first.crowds), empty, last)),
    ]
    assert len({one.digest() for one in (photos, *others)}) == 6
