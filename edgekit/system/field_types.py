"""Checks that a dataclass has in its fields what it declares: Python callers may give anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: What a field takes by its annotation, and how people say it.
TYPES: tuple[tuple[Any, type, str], ...] = (
    (bool, bool, "True or False"),
    (int, Integral, "a whole number"),
    (float, Real, "a number"),
    (Path, Path, "a path"),
    (str, str, "a string"),
)


def wrong_fields(record: DataclassInstance) -> Iterator[tuple[str, str, Any]]:
    """Yields each field of another type: its name, what it takes, and what it has.

    Args:
        record: its fields are annotated with one of `TYPES`, with a tuple of one, or with one that
            may be None. A number may be one of numpy.
    """
    hints = get_type_hints(type(record))
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        kinds = (*get_args(hints[item.name]), hints[item.name])
        if value is None and type(None) in kinds:
            continue
        kind, words = next((kind, words) for known, kind, words in TYPES if known in kinds)
        for one in value if isinstance(value, tuple) else (value,):
            if not isinstance(one, kind) or (isinstance(one, bool) and kind is not bool):
                yield item.name, words, one
