"""Tables of boxes, a box a row: Model Maker's and AutoML's CSV, and the one with a heading.

Model Maker's has no heading: ``set,path,label,xmin,ymin,,,xmax,ymax,,`` in fractions, or all four
corners of a box. That of TensorFlow's object detection API has one, of at least ``filename,class,
xmin,ymin,xmax,ymax``, and pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from edgekit.data.boxes.annotations import (
    UNKNOWN,
    AnnotatedPart,
    AnnotatedPhoto,
    BoxLayout,
    Row,
)
from edgekit.data.boxes.faults import Fault
from edgekit.data.boxes.names import find_names
from edgekit.data.boxes.tables.rows import TableRow, is_table, read_rows
from edgekit.data.class_names import check_names
from edgekit.data.photo_files import printable
from edgekit.data.split_folders import ALL, TRAIN, folders_by_role
from edgekit.errors import UsageError

_ELEMENT = "line {}"


def find_table_boxes(root: Path) -> BoxLayout | None:
    """Finds one CSV file in a folder, or one in each folder of a split.

    Raises:
        UsageError: it cannot be used.
    """
    own = _tables(root)
    if len(own) == 1:
        return read_table(own[0], root)
    folders = {role: _tables(folder) for role, folder in folders_by_role(root).items()}
    files = {role: tables[0] for role, tables in folders.items() if len(tables) == 1}
    if not files:
        return None
    read = {role: read_rows(path) for role, path in files.items()}
    names = find_names(root)
    found = {one.label for rows, _ in read.values() for one in rows if one.label}
    labels = names.labels or check_names(sorted(found), str(root))
    parts = {
        role: _part(rows, (files[role].parent, files[role].parent / "images"), labels, is_relative)
        for role, (rows, is_relative) in read.items()
    }
    return BoxLayout("tables", parts, labels, names.source or "its boxes", bool(names.labels))


def read_table(path: Path, root: Path, photos: Path | None = None) -> BoxLayout:
    """Reads one file.

    Args:
        path: the file.
        root: the data set, in which a file of classes is looked for.
        photos: the folder of the photos, if the user names it; else they are beside the file.

    Raises:
        UsageError: it is no such table, or none of its photos is there.
    """
    rows, is_relative = read_rows(path)
    names = find_names(path.parent, root)
    labels = names.labels or check_names(
        sorted({one.label for one in rows if one.label}), str(path)
    )
    by_role: dict[str, list[TableRow]] = defaultdict(list)
    roles = {one.role for one in rows} - {None}
    for one in rows:
        by_role[one.role or (TRAIN if roles else ALL)].append(one)
    folders = [one for one in (photos, path.parent, path.parent / "images") if one is not None]
    parts = {role: _part(part, folders, labels, is_relative) for role, part in by_role.items()}
    if not any(part.photos for part in parts.values()):
        raise UsageError(
            f"the photos of {path} are missing",
            cause=f"{printable(rows[0].path)} is not in {' or '.join(map(str, folders))}",
            hint="name their folder: --photos",
        )
    name = "Model Maker's table" if is_relative else "a table"
    source = names.source or "its boxes"
    return BoxLayout(name, parts, labels, source, bool(names.labels))


def _tables(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.csv")) if is_table(path)]


def _part(
    entries: Iterable[TableRow], folders: Sequence[Path], labels: Sequence[str], is_relative: bool
) -> AnnotatedPart:
    """The photos of a set, each with the boxes of all its rows."""
    index = {label: number for number, label in enumerate(labels)}
    by_path: dict[str, list[TableRow]] = defaultdict(list)
    for one in entries:
        by_path[one.path].append(one)
    photos, faults = [], []
    for path, rows in by_path.items():
        place = next((found for found in _places(path, folders) if found.is_file()), None)
        if place is None:
            faults.append(Fault("missing", printable(path)))
            continue
        found_rows = [
            Row(one.number, index.get(one.label, UNKNOWN), one.corners)
            for one in rows
            if one.corners is not None
        ]
        name = printable(_short(path))
        photos.append(AnnotatedPhoto.of(place, name, found_rows, rows[0].size, is_relative))
    return AnnotatedPart(tuple(sorted(photos, key=lambda one: one.name)), _ELEMENT, tuple(faults))


def _places(path: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Where a photo may be: at its path in a folder, or by its name alone, as of ``gs://``."""
    for folder in folders:
        yield folder / path
    for folder in folders:
        yield folder / PurePosixPath(path).name


def _short(path: str) -> str:
    return path.split("://", 1)[-1].lstrip("/")
