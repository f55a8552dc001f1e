"""COCO's JSON files: photos, categories, and annotations with a box each."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekit.data.boxes.annotations import (
    MOST_PIXELS,
    UNKNOWN,
    AnnotatedPart,
    AnnotatedPhoto,
    BoxLayout,
    Row,
)
from edgekit.data.boxes.faults import Fault
from edgekit.data.class_names import check_names
from edgekit.data.coco_files import by_role, find_coco_files, find_photo_folder
from edgekit.data.folders import printable
from edgekit.data.split_folders import ALL
from edgekit.errors import UsageError

_NAME = "COCO"
_ELEMENT = "annotations[{}]"
_HINT = (
    "it has the lists images, annotations and categories; an annotation has an image_id, a "
    "category_id, and a bbox of left, top, width and height in pixels"
)


def find_coco_boxes(root: Path) -> BoxLayout | None:
    """Finds JSON files in ``annotations/``, beside the photos, or in the folders of splits.

    Of several for one split, ``instances`` count. Without such, files of other names are tried.

    Raises:
        UsageError: a file is not COCO's, its photos are missing, or two files have one split.
    """
    files = list(find_coco_files(root))
    for kind in ("instances", "other"):
        chosen = by_role([file for file in files if file.kind == kind], root, "boxes")
        if chosen:
            break
    else:
        return None
    read = {role: read_coco(file.path, root) for role, file in chosen.items()}
    labels = next(iter(read.values())).labels
    if any(one.labels != labels for one in read.values()):
        raise UsageError(
            f"the JSON files of {root} have different categories",
            cause=", ".join(file.path.name for file in chosen.values()),
            hint="give each file the same categories",
        )
    parts = {role: one.parts[ALL] for role, one in read.items()}
    names = ", ".join(file.path.name for file in chosen.values())
    return BoxLayout(_NAME, parts, labels, printable(names))


def read_coco(path: Path, root: Path, photos: Path | None = None) -> BoxLayout:
    """Reads one file.

    Classes are numbered from 0 in the order of the categories' ids, which may have gaps.

    Args:
        path: the file.
        root: the data set in which photos are looked for.
        photos: the folder of the photos, if the user names it.

    Raises:
        UsageError: it is not COCO's, or none of its photos is there.
    """
    record = _load(path)
    categories = sorted(
        (
            _fields(path, f"categories[{i}]", one, id=int, name=str)
            for i, one in enumerate(record["categories"])
        ),
        key=lambda one: int(one["id"]),
    )
    labels = check_names([one["name"] for one in categories], str(path))
    classes = {one["id"]: number for number, one in enumerate(categories)}
    images = [
        _fields(path, f"images[{i}]", one, id=(int, str), file_name=str)
        for i, one in enumerate(record["images"])
    ]
    rows, unlisted = _rows(path, record["annotations"], classes, {one["id"] for one in images})
    folder = find_photo_folder(root, path, [one["file_name"] for one in images], photos)
    by_name: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for image in images:
        by_name[image["file_name"]].append(image)
    faults = [*unlisted]
    faults += [Fault("listed", printable(name)) for name, ones in by_name.items() if len(ones) > 1]
    found = []
    for name, ones in sorted(by_name.items()):
        if not (folder / name).is_file():
            faults.append(Fault("missing", printable(name)))
            continue
        own = [row for one in ones for row in rows.get(one["id"], ())]
        found.append(AnnotatedPhoto.of(folder / name, printable(name), own, _size(ones[0])))
    part = AnnotatedPart(tuple(found), _ELEMENT, tuple(faults))
    return BoxLayout(_NAME, {ALL: part}, labels, str(path))


def _load(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=str(error)) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{path} is no JSON", cause=f"{where}: {error.msg}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:  # text of no encoding, a million brackets
        raise UsageError(f"{path} is no JSON", cause=str(error)[:200], hint=_HINT) from error
    if not isinstance(record, dict):
        raise _broken(path, "its top", "it is no table of fields")
    for name in ("images", "annotations", "categories"):
        if not isinstance(record.get(name), list):
            raise _broken(path, "its top", f"it has no list '{name}'")
    return record


def _fields(path: Path, where: str, record: object, **kinds: Any) -> Mapping[str, Any]:
    """The record, which has these fields of these types."""
    if not isinstance(record, dict):
        raise _broken(path, where, "it is no table of fields")
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind) or isinstance(record[name], bool):
            what = f"is {str(record[name])[:50]}" if name in record else "is missing"
            raise _broken(path, where, f"its {name} {what}")
    return record


def _rows(
    path: Path, annotations: Iterable[object], classes: Mapping[int, int], images: set[Any]
) -> tuple[dict[Any, list[Row]], list[Fault]]:
    """The boxes by the ids of their photos, and those whose photo is not listed."""
    rows: dict[Any, list[Row]] = defaultdict(list)
    unlisted = []
    for number, one in enumerate(annotations):
        where = _ELEMENT.format(number)
        record = _fields(path, where, one, image_id=(int, str), category_id=int)
        box = record.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            what = str(box)[:50] if "bbox" in record else "missing"
            raise _broken(path, where, f"its bbox is {what}, not four numbers")
        left, top, width, height = map(float, box)
        if record["image_id"] not in images:
            unlisted.append(Fault("unlisted", where))
            continue
        area: Any = record.get("area")
        rows[record["image_id"]].append(
            Row(
                number,
                classes.get(record["category_id"], UNKNOWN),
                (top, left, top + height, left + width),
                bool(record.get("iscrowd")),
                float(area) if _is_number(area) and area > 0 else math.nan,
            )
        )
    return rows, unlisted


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < MOST_PIXELS


def _broken(path: Path, where: str, cause: str) -> UsageError:
    return UsageError(
        f"{path} cannot be read as COCO's JSON", cause=f"{where}: {cause}", hint=_HINT
    )
