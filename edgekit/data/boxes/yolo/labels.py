"""One text file of YOLO's form: a box a line, in fractions of its photo's sides."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.boxes.annotations import MOST_FRACTION, UNKNOWN, Four, Row
from edgekit.data.label_files import decode_text
from edgekit.errors import UsageError

_HINT = (
    "a line is a class index and the box's centre, width and height, from 0 to 1 of the photo's: "
    "'0 0.5 0.5 0.2 0.3'; of an outline, a class index and at least three points"
)


def read_yolo_labels(path: Path, classes: int) -> list[Row]:
    """Reads a file; an empty one is of a photo without boxes.

    Args:
        path: the file.
        classes: how many there are; indices from there on become `UNKNOWN`.

    Returns:
        Its boxes, in fractions of the photo's sides, by the numbers of their lines. An outline (a
        class index and x, y of at least three points) becomes the box around it.

    Raises:
        UsageError: a line is something else.
    """
    try:
        lines = re.split(r"\r\n|\r|\n", decode_text(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=str(error)) from error
    rows = []
    for number, line in enumerate(lines, 1):
        if words := line.split():
            try:
                label, corners = _box(words)
            except ValueError as error:
                raise UsageError(
                    f"{path} cannot be read as YOLO's labels",
                    cause=f"line {number}: {error}",
                    hint=_HINT,
                ) from error
            rows.append(Row(number, label if label < classes else UNKNOWN, corners))
    return rows


def _box(words: list[str]) -> tuple[int, Four]:
    """The class index and corners of a line.

    Raises:
        ValueError: it is none of a box.
    """
    if not re.fullmatch(r"\d{1,6}(\.0+)?", words[0]):
        raise ValueError(f"'{words[0][:40]}' is no class index")
    label = int(float(words[0]))
    values = [_fraction(word) for word in words[1:]]
    if len(values) == 4:
        x, y, width, height = values
        return label, (y - height / 2, x - width / 2, y + height / 2, x + width / 2)
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"it has {len(words)} values, where a box has 5")
    across, down = values[::2], values[1::2]
    return label, (min(down), min(across), max(down), max(across))


def _fraction(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"'{word[:40]}' is no number") from None
    if not -MOST_FRACTION <= value <= MOST_FRACTION:
        raise ValueError(f"{word[:40]} is no fraction of the photo's sides: is it in pixels?")
    return value
