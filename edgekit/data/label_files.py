"""The class names of a foreign model file: reads label files, and compares them with outputs."""

from __future__ import annotations

import ast
import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import ValidationError, convert

from edgekit.errors import UsageError

MOST_LITERAL_BYTES = 1 << 20  # names of 21,000 ImageNet classes are half of that
#: The class that is none of the others, as label files name it; TensorFlow's detectors say ???.
_BACKGROUND = re.compile(r"[\W\d_]*(background|bg|\?\?\?|dummy)[\W\d_]*", re.IGNORECASE)
_MARKS = (  # the longer first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BROKEN = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


@dataclass(frozen=True)
class FittedLabels:
    """The names of a file's classes, in the order of its output.

    Attributes:
        names: one for each class; empty where the file has none that belong to its output.
        note: in words, what differs between the file's labels and its output, else None.
    """

    names: tuple[str, ...] = ()
    note: str | None = None


def fit_labels(labels: Sequence[str], classes: int) -> FittedLabels:
    """Compares labels with the classes that a model tells apart.

    A background class that stands first in the labels, and that the output lacks, is left out.
    Nothing else is guessed: other labels that do not fit are not used.
    """
    if not labels or len(labels) == classes:
        return FittedLabels(tuple(labels))
    counts = f"{len(labels)} label{'s' * (len(labels) != 1)} for {classes} classes"
    if len(labels) == classes + 1 and _BACKGROUND.fullmatch(labels[0]):
        return FittedLabels(
            tuple(labels[1:]),
            f"the file has {counts}: the output has no class for the first, '{labels[0][:40]}'",
        )
    extra = len(labels) == classes - 1
    cause = "; class 0 may be the background" if extra else ""
    return FittedLabels((), f"the file has {counts}{cause}: classes are numbers here")


def read_labels(data: bytes) -> tuple[str, ...]:
    """Reads a label file: a name a line, or a list or table of names in JSON or Python.

    Line breaks are those of any system, and a byte order mark is no part of the first name. Blank
    lines at the end are left out, others are labels: the position of a line is its class.

    Raises:
        UsageError: it holds a table in which the names cannot be found.
    """
    text = decode_text(data)
    found = parse_literal(text)
    if found is not None:
        return _names(found)
    lines = re.split(r"\r\n|\n|\r", text)
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(lines)


def decode_text(data: bytes) -> str:
    """Text by its byte order mark, else UTF-8, else Windows' Western code page."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            encoding = "cp1252"
    return data.decode(encoding, errors="replace")


def parse_literal(text: str) -> list[Any] | dict[Any, Any] | None:
    """A list or a table in JSON or as Python writes it; None where the text is something else."""
    stripped = text.strip()
    if len(stripped) > MOST_LITERAL_BYTES or stripped[:1] + stripped[-1:] not in ("{}", "[]"):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(stripped)
        except _BROKEN:
            continue
        if isinstance(found, list | dict):
            return found
    return None


def names_of(table: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """The class names in a table of an exporter, as Ultralytics writes it; None without any.

    Args:
        table: ``{"names": {0: "cat", 1: "dog"}, ...}``, or the inner table itself; the names may
            be a list, or text that holds either.
    """
    inner = table.get("names", table)
    if isinstance(inner, str):
        inner = parse_literal(inner)
    try:
        names = convert(inner, list[str] | dict[int, str], strict=False, str_keys=True)
    except ValidationError:
        return None
    if isinstance(names, list):
        return tuple(names)
    if sorted(names) != list(range(len(names))):
        return None
    return tuple(names[index] for index in range(len(names)))


def _names(found: list[Any] | dict[Any, Any]) -> tuple[str, ...]:
    names = names_of({"names": found} if isinstance(found, list) else found)
    if names is None:
        raise UsageError(
            "the labels cannot be read",
            cause="they are a list or a table in which no class names from 0 on are found",
        )
    return names
