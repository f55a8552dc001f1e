"""One text file of YOLO's form."""

from __future__ import annotations

from pathlib import Path

import pytest
from box_folders import write_text

from edgekit.data.boxes.annotations import UNKNOWN
from edgekit.data.boxes.yolo.labels import read_yolo_labels
from edgekit.errors import UsageError


def test_a_box_is_given_by_its_centre(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "0 0.5 0.25 0.2 0.5\n\n 2.0\t0.1 0.1 0.2 0.2 \r\n")
    first, second = read_yolo_labels(path, 3)
    assert (first.number, first.label) == (1, 0)
    assert first.corners == pytest.approx((0, 0.4, 0.5, 0.6))
    assert (second.number, second.label) == (3, 2)
    assert second.corners == pytest.approx((0, 0, 0.2, 0.2))


def test_an_outline_becomes_the_box_around_it(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "1 0.1 0.5 0.4 0.2 0.3 0.9\n")
    (row,) = read_yolo_labels(path, 3)
    assert row.corners == (0.2, 0.1, 0.9, 0.4)


def test_a_class_that_is_none_is_unknown(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "3 0.5 0.5 0.1 0.1\n")
    assert read_yolo_labels(path, 3)[0].label == UNKNOWN
    assert read_yolo_labels(path, 4)[0].label == 3


def test_an_empty_file_is_of_a_photo_without_boxes(tmp_path: Path) -> None:
    assert read_yolo_labels(write_text(tmp_path / "a.txt", "\n"), 3) == []


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("cat 0.5 0.5 0.1 0.1", "line 2: 'cat' is no class index"),
        ("-1 0.5 0.5 0.1 0.1", "line 2: '-1' is no class index"),
        ("1.5 0.5 0.5 0.1 0.1", "line 2: '1.5' is no class index"),
        ("0 0.5 0.5 0.1", "line 2: it has 4 values, where a box has 5"),
        ("0 0.5 0.5 0.1 0.1 0.9", "line 2: it has 6 values, where a box has 5"),
        ("0 0.5 0.5 0.1 0,1", "line 2: '0,1' is no number"),
        ("0 0.5 0.5 nan 0.1", "line 2: nan is no fraction"),
        ("0 120 80 40 30", "line 2: 120 is no fraction of the photo's sides: is it in pixels?"),
    ],
)
def test_a_broken_line_is_named(line: str, cause: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(UsageError, match=r"a\.txt cannot be read as YOLO's labels") as caught:
        read_yolo_labels(path, 3)
    assert cause in (caught.value.cause or "")
    assert caught.value.hint
