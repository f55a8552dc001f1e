"""The boxes of one photo, checked against the photo."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.boxes.annotations import UNKNOWN, AnnotatedPhoto, Row
from edgekit.data.boxes.check import Checked, check_boxes, turn_boxes
from edgekit.data.images import Stored, check, decode_image

STORED = Stored((40, 20), None)
TURNS = list(Image.Transpose)
EXIF = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # orientation: what undoes it


def checked(
    rows: list[tuple[float, float, float, float]],
    stored: Stored = STORED,
    labels: list[int] | None = None,
    size: tuple[int, int] | None = None,
    relative: bool = False,
) -> Checked:
    given = labels or [0] * len(rows)
    found = [Row(i + 1, label, box) for i, (label, box) in enumerate(zip(given, rows, strict=True))]
    photo = AnnotatedPhoto.of(Path("/a.jpg"), "a.jpg", found, size, relative)
    return check_boxes(photo, stored, "line {}")


def corners(found: Checked) -> list[list[float]]:
    assert found.boxes is not None
    return found.boxes.corners.tolist()


def test_sound_boxes_are_kept() -> None:
    found = checked([(0, 0, 20, 40), (2, 3.5, 12, 20)], labels=[1, 2])
    assert corners(found) == [[0, 0, 20, 40], [2, 3.5, 12, 20]]
    assert found.boxes is not None
    assert found.boxes.classes.tolist() == [1, 2]
    assert found.boxes.areas.tolist() == [800, 165]
    assert [a.dtype for a in (found.boxes.corners, found.boxes.classes)] == [np.float32, np.int64]
    assert found == Checked(found.boxes)


def test_each_fault_is_told_and_what_is_left_is_right() -> None:
    found = checked(
        [
            (2, 3, 12, 20),
            (5, 5, 5, 9),  # no height
            (5, 9, 8, 5),  # ends before it begins
            (25, 3, 30, 9),  # below the photo
            (0, 40, 9, 50),  # right of it
            (2, -3, 12, 20),  # beyond the left
            (2, 3, 20.4, 20),  # by less than a rounded pixel
            (2, 3, 12, 20),  # the first again
            (2, 3, 12, 20),  # of another class
            (2, 3, 12, 21),  # of none
        ],
        labels=[0, 0, 0, 0, 0, 0, 0, 0, 1, UNKNOWN],
    )
    assert [(one.kind, one.where) for one in found.faults] == [
        ("unknown", "a.jpg (line 10)"),
        ("empty", "a.jpg (line 2)"),
        ("empty", "a.jpg (line 3)"),
        ("nowhere", "a.jpg (line 4)"),
        ("nowhere", "a.jpg (line 5)"),
        ("twice", "a.jpg (line 8)"),
        ("outside", "a.jpg (line 6)"),
    ]
    assert corners(found) == [[2, 3, 12, 20], [2, 0, 12, 20], [2, 3, 20, 20], [2, 3, 12, 20]]
    assert found.boxes is not None
    assert found.boxes.areas.tolist() == [170, 200, 306, 170]


def test_an_area_that_is_known_is_kept() -> None:
    row = Row(1, 0, (2, -3, 12, 20), True, 33.0)
    photo = AnnotatedPhoto.of(Path("/a.jpg"), "a.jpg", [row])
    found = check_boxes(photo, STORED, "line {}")
    assert found.boxes is not None
    assert found.boxes.areas.tolist() == [33]
    assert found.boxes.crowds.tolist() == [True]


def test_a_photo_without_boxes() -> None:
    found = checked([])
    assert corners(found) == []
    assert found.faults == ()


def test_fractions_are_of_the_upright_photo() -> None:
    assert corners(checked([(0.1, 0.1, 0.5, 0.5)], relative=True)) == [[2, 4, 10, 20]]
    turned = Stored((40, 20), Image.Transpose.ROTATE_90)
    assert corners(checked([(0.1, 0.1, 0.5, 0.5)], turned, relative=True)) == [[4, 2, 20, 10]]


def test_boxes_of_another_size_are_refused() -> None:
    found = checked([(0, 0, 9, 9)], size=(80, 40))
    assert found.boxes is None
    assert found.problem == "it has 40 x 20 pixels, and its boxes are of 80 x 40"
    assert checked([(0, 0, 9, 9)], size=(20, 40)).boxes is None  # sides exchanged, not turned


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_box_is_where_its_pixels_are(turn: Image.Transpose) -> None:
    photo = Image.new("L", (40, 20))
    photo.paste(255, (3, 2, 20, 12))
    upright = np.array(photo.transpose(turn)) > 0
    (found,) = turn_boxes(np.array([[2.0, 3, 12, 20]]), turn, 40, 20)
    rows, columns = (np.flatnonzero(upright.any(axis=axis)) for axis in (1, 0))
    assert found.tolist() == [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    empty, inverted = turn_boxes(np.array([[2.0, 3, 2, 20], [9, 9, 5, 12]]), turn, 40, 20)
    for top, left, bottom, right in (empty, inverted):
        assert bottom <= top or right <= left


@pytest.mark.parametrize("orientation", EXIF)
@pytest.mark.parametrize("said", ["stored", "upright"])
def test_a_size_says_which_way_boxes_are(orientation: int, said: str) -> None:
    """A photo with an EXIF orientation, whose white box is annotated as stored or as seen."""
    photo = Image.new("RGB", (40, 20))
    photo.paste((255, 255, 255), (3, 2, 20, 12))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    photo.save(file, "PNG", exif=exif)
    stored = check(file.getvalue())
    upright = np.array(decode_image(file.getvalue()))[..., 0] > 0
    assert stored.turn == EXIF[orientation]
    rows, columns = (np.flatnonzero(upright.any(axis=axis)) for axis in (1, 0))
    seen = [float(v) for v in (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)]
    if stored.is_sideways:
        annotated = (2, 3, 12, 20) if said == "stored" else tuple(seen)
        size = stored.size if said == "stored" else stored.upright
        found = checked([annotated], stored, size=size)  # type: ignore[list-item]
        assert corners(found) == [seen]
        assert not found.is_ambiguous
    else:  # mirrored or upside down, which no size says: as people see it
        found = checked([tuple(seen)], stored, size=stored.size)  # type: ignore[list-item]
        assert corners(found) == [seen]
        assert found.is_ambiguous


def test_what_no_size_says_is_ambiguous() -> None:
    turned = Stored((40, 20), Image.Transpose.ROTATE_90)
    square = Stored((20, 20), Image.Transpose.ROTATE_90)
    found = Counter(
        one.is_ambiguous
        for one in (
            checked([(0, 0, 9, 9)], turned),
            checked([(0, 0, 9, 9)], square, size=(20, 20)),
            checked([], turned),
            checked([(0, 0, 9, 9)]),
            checked([(0, 0, 9, 9)], turned, size=(20, 40)),
        )
    )
    assert found == {True: 2, False: 3}
