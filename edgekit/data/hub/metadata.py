"""The classes of an image folder's photos: by its lists, else by the folder that each is in."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.data.hub.parquet import LABELS
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

FILE_NAME = "file_name"


def find_classes(
    names: Sequence[str], lists: Mapping[str, StrPath], given: str, label: str | None
) -> dict[str, str]:
    """Returns the class of each photo; one that a list leaves out has none, and is left out.

    Args:
        names: of the photos in the repository.
        lists: where ``metadata.csv`` and ``metadata.jsonl`` are, by their names in the repository.
        given: how the user named the data set, for messages.
        label: the column of the classes; None where it can be found.

    Raises:
        UsageError: a list cannot be read, or nothing says the classes.
    """
    said: dict[str, str] = {}
    columns: dict[str, None] = {}
    for name, path in lists.items():
        folder = PurePosixPath(name).parent
        for row in _rows(Path(path), given, name):
            columns |= dict.fromkeys(map(str, row))
            column = label or next((one for one in LABELS if one in row), None)
            value = row.get(column) if column else None
            if FILE_NAME in row and isinstance(value, str | int) and value != "":
                said[(folder / str(row[FILE_NAME])).as_posix()] = str(value)
    if said:
        return {name: said[name] for name in names if name in said}
    folders = {name: PurePosixPath(name).parent.name for name in names}
    if label is None and len(set(folders.values()) - {""}) > 1:
        return {name: folder for name, folder in folders.items() if folder}
    raise UsageError(
        f"{given} has no column of classes",
        cause=f"its columns are {', '.join(columns)}"
        if columns
        else "its photos are in no class folders, and no list of them names any",
        hint="name it behind the data set: #label=COLUMN" if columns else None,
    )


def _rows(path: Path, given: str, name: str) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")
        if name.endswith(".csv"):
            yield from csv.DictReader(text.splitlines(keepends=True))
            return
        for line in text.splitlines():
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("a line is no object")
                yield row
    except (ValueError, csv.Error, RecursionError) as error:
        raise UsageError(f"{name} of {given} cannot be read", cause=str(error)[:300]) from error
