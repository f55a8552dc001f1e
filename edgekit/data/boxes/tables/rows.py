"""The rows of a table of boxes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgekit.data.boxes.annotations import MOST_FRACTION, MOST_PIXELS, Four
from edgekit.data.class_names import canonical
from edgekit.data.label_files import decode_text
from edgekit.data.split_folders import role_of
from edgekit.errors import UsageError

_COLUMNS = 11
_HEADING = ("filename", "class", "xmin", "ymin", "xmax", "ymax")
_SETS = ("TRAIN", "TRAINING", "VALIDATE", "VALIDATION", "VAL", "TEST", "UNASSIGNED", "")
_HINT = (
    "a line is 'TRAIN,photo.jpg,cat,0.1,0.2,,,0.5,0.6,,': a set (TRAIN, VALIDATION or TEST), a "
    "path, a class, and left, top, right and bottom from 0 to 1; or the table has the heading "
    "filename,width,height,class,xmin,ymin,xmax,ymax"
)


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        number: of its line.
        role: of its photo; None where it is not assigned to a set.
        path: of its photo.
        label: name of its class; '' of a photo without a box.
        corners: top, left, bottom, right.
        size: width and height of its photo in pixels; None where they are not said.
    """

    number: int
    role: str | None
    path: str
    label: str
    corners: Four | None
    size: tuple[int, int] | None = None


def is_table(path: Path) -> bool:
    """Whether a file is of either form, by its first line."""
    with path.open("rb") as file:
        lines = decode_text(file.read(1 << 12)).splitlines()
    first = next(csv.reader(lines[:1]), [])
    return _is_heading(first) or (
        len(first) == _COLUMNS and first[0].strip().upper() in _SETS and first[1].strip() != ""
    )


def _is_heading(row: Sequence[str]) -> bool:
    return {*_HEADING} <= {cell.strip().lower() for cell in row}


def read_rows(path: Path) -> tuple[list[TableRow], bool]:
    """The rows of a file, and whether they are in fractions of the photos' sides."""
    try:
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=str(error)) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    entries: list[TableRow] = []
    heading: list[str] | None = None
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if not any(row):
                continue
            if not entries and heading is None and _is_heading(row):
                heading = [cell.lower() for cell in row]
            elif heading is not None:
                entries.append(_of_heading(reader.line_num, heading, row))
            else:
                entries.append(_of_model_maker(reader.line_num, row))
    except (ValueError, csv.Error) as error:
        raise UsageError(
            f"{path} cannot be read as a table of boxes",
            cause=f"line {reader.line_num}: {error}",
            hint=_HINT,
        ) from error
    if not entries:
        raise UsageError(f"{path} has no boxes", hint=_HINT)
    return entries, heading is None


def _of_model_maker(number: int, row: Sequence[str]) -> TableRow:
    """A row of Model Maker's, which may have two corners or four."""
    if len(row) > _COLUMNS or len(row) < 2:
        raise ValueError(f"it has {len(row)} columns, not {_COLUMNS}")
    kind, path, label, *cells = (*row, *[""] * (_COLUMNS - len(row)))
    if kind.upper() not in _SETS:
        raise ValueError(f"'{kind[:40]}' is no set")
    role = role_of(kind) if kind and kind.upper() != "UNASSIGNED" else None
    points = list(zip(cells[::2], cells[1::2], strict=True))
    if not any(cells) and not label:
        return TableRow(number, role, path, "", None)
    if not label:
        raise ValueError("it has no class")
    if any(bool(x) != bool(y) for x, y in points):
        raise ValueError("a point has one number only")
    found = [(_fraction(x), _fraction(y)) for x, y in points if x]
    if len(found) == 2:
        (left, top), (right, bottom) = found
    elif len(found) == 4:
        left, right = min(x for x, _ in found), max(x for x, _ in found)
        top, bottom = min(y for _, y in found), max(y for _, y in found)
    else:
        raise ValueError(f"it has {len(found)} points, where a box has two or four")
    return TableRow(number, role, path, canonical(label), (top, left, bottom, right))


def _of_heading(number: int, heading: Sequence[str], row: Sequence[str]) -> TableRow:
    if len(row) != len(heading):
        raise ValueError(f"it has {len(row)} columns, the heading {len(heading)}")
    cells = dict(zip(heading, row, strict=True))
    if not cells["filename"]:
        raise ValueError("it has no filename")
    size = None
    if cells.get("width") and cells.get("height"):
        width, height = (round(_number(cells[name])) for name in ("width", "height"))
        size = (width, height) if width > 0 and height > 0 else None
    edges = [cells[name] for name in ("ymin", "xmin", "ymax", "xmax")]
    if not any(edges) and not cells["class"]:
        return TableRow(number, None, cells["filename"], "", None, size)
    if not cells["class"]:
        raise ValueError("it has no class")
    top, left, bottom, right = map(_number, edges)
    corners = (top, left, bottom, right)
    return TableRow(number, None, cells["filename"], canonical(cells["class"]), corners, size)


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"'{cell[:40]}' is no number") from None
    if not abs(value) < MOST_PIXELS:
        raise ValueError(f"{cell[:40]} is no number of pixels")
    return value


def _fraction(cell: str) -> float:
    value = _number(cell)
    if abs(value) > MOST_FRACTION:
        raise ValueError(f"{cell[:40]} is no fraction of the photo's sides: is it in pixels?")
    return value
