"""Files that name the classes of masks, and give them values or colours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit.data.label_files import decode_text
from edgekit.data.masks.layouts import Classes
from edgekit.data.masks.reading import MOST_CLASSES, MaskFormat
from edgekit.data.placement import IGNORED
from edgekit.errors import UsageError

NAMES = (
    "classes.txt",
    "classes.csv",
    "class_names.txt",
    "labels.txt",
    "class_dict.csv",
    "_classes.csv",
    "label_colors.txt",
    "labelmap.txt",
)
#: Names of what is no class.
_NONE = {"void", "ignore", "ignored"}
_HINT = "write a class a line: 'road', or '3: road', or 'road 128 64 128' for masks of colours"

_COLOR = r"(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})"
_COLOR_LAST = re.compile(rf"(.+?)[\s,:;]+{_COLOR}(?:::?.*)?$")  # CVAT's lines end in ::
_COLOR_FIRST = re.compile(rf"{_COLOR}[\s,]+(.+)$")
_NUMBERED = re.compile(r"(\d{1,3})\s*[:,;\t]\s*(.+)$")
_NUMBER_LAST = re.compile(r"(.+?)\s*,\s*(\d{1,3})$")
_Row = tuple[str, int | None, int | None]  # name, value, colour


def find_classes(*folders: Path) -> Classes:
    """Returns the classes that a file in the first of these folders names; none without a file.

    Raises:
        UsageError: the file cannot be used.
    """
    for folder in folders:
        for name in NAMES:
            if (folder / name).is_file():
                return read_classes(folder / name)
    return Classes()


def read_classes(path: Path) -> Classes:
    """Reads a file with a class a line.

    A line is a name; a value and a name (``3: road``); or a name with red, green and blue, in
    either order. Blank lines, those that begin with # and a heading are left out. The names void
    and ignore are no classes: their values and colours are ignored.

    Raises:
        UsageError: it holds no class, too many, one name twice, or lines of several kinds.
    """
    try:
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=str(error)) from error
    rows = list(_rows(text.splitlines()))
    classes = [row for row in rows if row[0].lower() not in _NONE]
    labels = tuple(name for name, _, _ in classes)
    _check(path, labels)
    kinds = {(value is not None, color is not None) for _, value, color in rows}
    if len(kinds) > 1:
        raise UsageError(
            f"{path} has lines of several kinds",
            cause="some have values or colours and some have none",
            hint=_HINT,
        )
    has_values, has_colors = kinds.pop()
    if not has_values and not has_colors:
        return Classes(labels, _by_position(rows), str(path))
    index = {name: i for i, name in enumerate(labels)}
    table = tuple(
        ((color if has_colors else value) or 0, index.get(name, IGNORED))
        for name, value, color in rows
    )
    if len({value for value, _ in table}) < len(table):
        raise UsageError(f"{path} gives two classes one value", hint=_HINT)
    return Classes(labels, MaskFormat(table, has_colors), str(path))


def _by_position(rows: Sequence[_Row]) -> MaskFormat:
    """Values are lines counted from 0: they are the classes, unless a line is no class."""
    is_class = [name.lower() not in _NONE for name, _, _ in rows]
    if all(is_class):
        return MaskFormat()
    indices = (sum(is_class[:i]) if known else IGNORED for i, known in enumerate(is_class))
    return MaskFormat(tuple(enumerate(indices)))


def _rows(lines: Sequence[str]) -> Iterator[_Row]:
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        if found := _COLOR_LAST.fullmatch(line):
            name, *color = found.groups()
            yield name.strip(), None, _packed(color)
        elif found := _COLOR_FIRST.fullmatch(line):
            *color, name = found.groups()
            yield name.strip(), None, _packed(color)
        elif found := _NUMBERED.fullmatch(line):
            yield found[2].strip(), int(found[1]), None
        elif found := _NUMBER_LAST.fullmatch(line):
            yield found[1].strip(), int(found[2]), None
        elif not _is_heading(line):
            yield line, None, None


def _packed(color: Sequence[str]) -> int:
    red, green, blue = map(int, color)
    return red << 16 | green << 8 | blue


def _is_heading(line: str) -> bool:
    words = re.findall(r"[a-z]+", line.lower())
    return len(words) > 1 and words[0] in (
        "name",
        "class",
        "label",
        "value",
        "index",
        "id",
        "pixel",
    )


def _check(path: Path, labels: Sequence[str]) -> None:
    if not labels:
        raise UsageError(f"{path} names no class", hint=_HINT)
    if len(labels) > MOST_CLASSES:
        raise UsageError(
            f"{path} names {len(labels)} classes",
            cause=f"masks of 8 bits hold {MOST_CLASSES} and a value for none",
            hint="merge some of them",
        )
    double = sorted({name for name in labels if labels.count(name) > 1})
    if double:
        raise UsageError(f"{path} names {double[0]} twice", hint=_HINT)
