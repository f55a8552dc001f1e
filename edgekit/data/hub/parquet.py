"""Photos in parquet, as the library datasets writes them: unpacked once, a row group at a time.

An image is a struct of its file's ``bytes`` and its ``path``. What a column means is in the
schema's metadata under ``huggingface``, or in the card.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeAlias

from edgekit.errors import UsageError
from edgekit.system.extras import import_optional
from edgekit.system.paths import StrPath

EXTRA = "datasets"
#: Photos that are in memory at once, beside the row group that they are from.
ROWS = 64
#: Columns that hold classes, where nothing says which does.
LABELS = ("label", "labels", "class", "class_name", "category", "target", "fine_label")
#: The library's word for a column of class indices.
CLASSES = "ClassLabel"
#: What is known of columns, by name, as the library's files have it.
Features: TypeAlias = Mapping[str, Mapping[str, Any]]
_MAGIC = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp"}


class Photo(NamedTuple):
    """A row: the bytes of the file, its ending, and the class."""

    data: bytes
    ending: str
    label: str


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are read.

    Attributes:
        image: of the photos.
        label: of the classes.
        names: of the classes, where the column holds their indices; else empty.
    """

    image: str
    label: str
    names: tuple[str, ...]


def read_photos(path: StrPath, given: str, label: str | None, said: Features) -> Iterator[Photo]:
    """Yields the photos of a file, in its order; rows without photo or class are left out.

    Args:
        path: of the file.
        given: how the user named the data set, for messages.
        label: the column of the classes; None where it can be found.
        said: what the card says of the columns, where the file does not (`features_of`).

    Raises:
        UsageError: it is damaged, or it is not clear which columns hold photos and classes.
        MissingToolError: pyarrow is not installed.
    """
    parquet = import_optional("pyarrow.parquet", EXTRA, "a data set in parquet")
    arrow = import_optional("pyarrow", EXTRA, "a data set in parquet")
    try:
        with parquet.ParquetFile(str(path)) as file:
            columns = find_columns(file.schema_arrow, given, label, said)
            wanted = [columns.image, columns.label]
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                yield from _photos(batch.to_pydict(), columns)
    except (arrow.ArrowException, OSError) as error:
        raise UsageError(
            f"a file of {given} cannot be read",
            cause=f"{str(error).splitlines()[0][:300] if str(error) else type(error).__name__}",
            hint="remove it from the cache, and run again",
        ) from error


def _photos(rows: Mapping[str, Sequence[Any]], columns: Columns) -> Iterator[Photo]:
    for image, label in zip(rows[columns.image], rows[columns.label], strict=True):
        data = image.get("bytes") if isinstance(image, dict) else image
        name = _name_of(label, columns.names)
        if not isinstance(data, bytes) or name is None:
            continue
        path = image.get("path") if isinstance(image, dict) else None
        yield Photo(data, _ending(data, path), name)


def _name_of(label: Any, names: Sequence[str]) -> str | None:
    """The name of a class; None where a row has none, which datasets writes as -1."""
    if label is None or isinstance(label, bool | float | list | dict):
        return None
    if names and isinstance(label, int):
        return names[label] if 0 <= label < len(names) else None
    return str(label) if label != "" else None


def _ending(data: bytes, path: str | None) -> str:
    known = next((ending for magic, ending in _MAGIC.items() if data.startswith(magic)), None)
    if known is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        known = ".webp"
    return known or PurePosixPath(path or "").suffix.lower() or ".unknown"


def find_columns(schema: Any, given: str, label: str | None, said: Features) -> Columns:
    """Finds the columns of photos and classes.

    Args:
        schema: of the file, a ``pyarrow.Schema``.
        given: as for `read_photos`.
        label: likewise.
        said: likewise.

    Raises:
        UsageError: there are none, or several; the columns are listed.
    """
    features = _features_in(schema) or said
    images = [one.name for one in schema if _is_image(one, features.get(one.name, {}))]
    classes = [one.name for one in schema if features.get(one.name, {}).get("_type") == CLASSES]
    listed = ", ".join(f"{one.name} ({one.type})" for one in schema)
    if len(images) != 1:
        what = f"several columns of photos: {', '.join(images)}" if images else "no photos"
        raise UsageError(f"{given} has {what}", cause=f"its columns are {listed}")
    plain = [one.name for one in schema if _is_class(one) and one.name in LABELS]
    found = [label] if label else classes or plain
    if label is not None and label not in schema.names:
        raise UsageError(f"{given} has no column {label}", cause=f"its columns are {listed}")
    if not found:
        raise UsageError(
            f"{given} has no column of classes",
            cause=f"its columns are {listed}",
            hint="name it behind the data set: #label=COLUMN",
        )
    if len(found) > 1:
        raise UsageError(
            f"{given} has several columns of classes: {', '.join(found)}",
            cause=f"its columns are {listed}",
            hint=f"name one behind the data set: #label={found[0]}",
        )
    if not _is_class(schema.field(found[0])):
        raise UsageError(
            f"the column {found[0]} of {given} holds no classes",
            cause=f"its columns are {listed}",
            hint="one of integers or text: #label=COLUMN",
        )
    names = features.get(found[0], {}).get("names") or ()
    return Columns(images[0], found[0], tuple(map(str, names)))


def _is_image(column: Any, feature: Mapping[str, Any]) -> bool:
    if feature.get("_type"):
        return bool(feature["_type"] == "Image")
    kind = str(column.type)
    return kind.startswith("struct<bytes: binary") or (
        kind in ("binary", "large_binary") and column.name in ("image", "img", "jpg", "png")
    )


def _is_class(column: Any) -> bool:
    return str(column.type) in (
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *("string", "large_string", "string_view", "dictionary<values=string, indices=int32>"),
    )


def _features_in(schema: Any) -> Features:
    """What the library wrote into the file, by column."""
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = said["info"]["features"]
        return {str(name): one for name, one in features.items() if isinstance(one, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def features_of(card: Mapping[str, Any], config: str | None) -> Features:
    """What a card says of the columns, in the form that files have.

    Args:
        card: its metadata.
        config: which of several data sets of the repository; None where it has one.
    """
    said = card.get("dataset_info")
    infos = said if isinstance(said, list) else [said]
    if len(infos) > 1:
        infos = [one for one in infos if isinstance(one, dict) and one.get("config_name") == config]
    found: dict[str, dict[str, Any]] = {}
    for info in infos:
        features = info.get("features") if isinstance(info, dict) else None
        for one in features if isinstance(features, list) else ():
            if not isinstance(one, dict):
                continue
            kind = one.get("dtype")
            if kind == "image":
                found[str(one.get("name"))] = {"_type": "Image"}
            elif isinstance(kind, dict) and isinstance(kind.get("class_label"), dict):
                names = kind["class_label"].get("names") or {}
                if isinstance(names, dict):  # by index, which YAML keeps as text
                    names = [names[key] for key in sorted(names, key=int)]
                found[str(one.get("name"))] = {"_type": CLASSES, "names": names}
    return found
