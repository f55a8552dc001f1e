"""The rows of a table of boxes."""

from __future__ import annotations

from pathlib import Path

import pytest
from box_folders import write_text

from edgekit.data.boxes.tables.rows import is_table, read_rows
from edgekit.data.split_folders import TEST, TRAIN, VAL
from edgekit.errors import UsageError

HEADING = "filename,width,height,class,xmin,ymin,xmax,ymax"


def test_model_makers_rows(tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "a.csv",
        "TRAIN,gs://x/a.jpg,cat,0.1,0.2,,,0.5,0.6,,\n"
        "VALIDATION,b.jpg,dog,0.1,0.2,0.5,0.2,0.5,0.6,0.1,0.6\n"
        "\n"
        "TESTING,c.jpg,,,,,,,,,\n".replace("TESTING", "TEST")
        + "UNASSIGNED,d.jpg,cat,0.5,0.2,,,0.1,0.6\n",
    )
    rows, is_relative = read_rows(path)
    assert is_relative
    assert [(one.number, one.role, one.path, one.label) for one in rows] == [
        (1, TRAIN, "gs://x/a.jpg", "cat"),
        (2, VAL, "b.jpg", "dog"),
        (4, TEST, "c.jpg", ""),
        (5, None, "d.jpg", "cat"),
    ]
    assert [one.corners for one in rows] == [
        (0.2, 0.1, 0.6, 0.5),
        (0.2, 0.1, 0.6, 0.5),
        None,
        (0.2, 0.5, 0.6, 0.1),  # which has no area, and is counted later
    ]


def test_rows_of_a_table_with_a_heading(tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "a.csv", f'{HEADING}\n"a, b.jpg",40,20,cat,1,2,11.5,12\nc.jpg,0,0,cat,1,2,3,4\n'
    )
    (first, second), is_relative = read_rows(path)
    assert not is_relative
    assert first == (2, None, "a, b.jpg", "cat", (2, 1, 12, 11.5), (40, 20))
    assert second.size is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEADING, True),
        ("TRAIN,a.jpg,cat,0.1,0.2,,,0.5,0.6,,", True),
        ("train,a.jpg,,,,,,,,,", True),
        ("id,label", False),
        ("", False),
        ("a.jpg,1,2,3,4,cat,,,,,", False),
    ],
)
def test_what_a_table_of_boxes_is(text: str, expected: bool, tmp_path: Path) -> None:
    assert is_table(write_text(tmp_path / "a.csv", text)) == expected


ROW = "TRAIN,a.jpg,cat,0.1,0.2,,,0.5,0.6,,\n"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (ROW + "A,b.jpg,cat,0.1,0.2,,,0.5,0.6,,", "line 2: 'A' is no set"),
        (ROW + ROW.strip() + ",", "line 2: it has 12 columns, not 11"),
        (ROW + "TRAIN,b.jpg,,0.1,0.2,,,0.5,0.6,,", "line 2: it has no class"),
        (ROW + "TRAIN,b.jpg,cat,0.1,,,,0.5,0.6,,", "line 2: a point has one number only"),
        (ROW + "TRAIN,b.jpg,cat,0.1,0.2,,,,,,", "line 2: it has 1 points"),
        (ROW + "TRAIN,b.jpg,cat,,,,,,,,", "line 2: it has 0 points"),
        (ROW + "TRAIN,b.jpg,cat,x,0.2,,,0.5,0.6,,", "line 2: 'x' is no number"),
        (ROW + "TRAIN,b.jpg,cat,12,0.2,,,50,0.6,,", "is it in pixels?"),
        (f"{HEADING}\na.jpg,40,20,cat,1,2,3", "line 2: it has 7 columns, the heading 8"),
        (f"{HEADING}\na.jpg,40,20,cat,1,2,3,nan", "line 2: nan is no number of pixels"),
        (f"{HEADING}\na.jpg,40,20,,1,2,3,4", "line 2: it has no class"),
        (f"{HEADING}\n,40,20,cat,1,2,3,4", "line 2: it has no filename"),
    ],
)
def test_a_broken_line_is_named(text: str, cause: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.csv cannot be read as a table") as caught:
        read_rows(write_text(tmp_path / "a.csv", text))
    assert cause in (caught.value.cause or "")
    assert caught.value.hint


def test_a_table_without_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no boxes"):
        read_rows(write_text(tmp_path / "a.csv", HEADING))
