"""COCO's JSON files: photos, categories, and annotations with a box each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

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
from edgekit.data.coco_files import (
    CocoPhoto,
    CocoRecord,
    by_role,
    find_coco_files,
    find_photo_folder,
)
from edgekit.data.photo_files import printable
from edgekit.data.split_folders import ALL
from edgekit.errors import UsageError
from edgekit.system.records import load_record

_NAME = "COCO"
_ELEMENT = "annotations[{}]"
_HINT = (
    "it has the lists images, annotations and categories; an annotation has an image_id, a "
    "category_id, and a bbox of left, top, width and height in pixels"
)
_Pixels = Annotated[float, Meta(gt=-MOST_PIXELS, lt=MOST_PIXELS)]


class _Annotation(Struct, frozen=True):
    """An object in a photo: left, top, width and height in pixels."""

    image_id: int | str
    category_id: int
    bbox: tuple[_Pixels, _Pixels, _Pixels, _Pixels]
    iscrowd: bool | float | None = None
    area: float | None = None


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
    record = load_record(path, CocoRecord[_Annotation], "cannot be read as COCO's JSON", _HINT)
    categories = sorted(record.categories, key=lambda one: one.id)
    labels = check_names([one.name for one in categories], str(path))
    classes = {one.id: number for number, one in enumerate(categories)}
    rows, unlisted = _rows(record.annotations, classes, {one.id for one in record.images})
    folder = find_photo_folder(root, path, [one.file_name for one in record.images], photos)
    by_name: dict[str, list[CocoPhoto]] = defaultdict(list)
    for image in record.images:
        by_name[image.file_name].append(image)
    faults = [*unlisted]
    faults += [Fault("listed", printable(name)) for name, ones in by_name.items() if len(ones) > 1]
    found = []
    for name, ones in sorted(by_name.items()):
        if not (folder / name).is_file():
            faults.append(Fault("missing", printable(name)))
            continue
        own = [row for one in ones for row in rows.get(one.id, ())]
        found.append(AnnotatedPhoto.of(folder / name, printable(name), own, _size(ones[0])))
    part = AnnotatedPart(tuple(found), _ELEMENT, tuple(faults))
    return BoxLayout(_NAME, {ALL: part}, labels, str(path))


def _rows(
    annotations: Sequence[_Annotation], classes: Mapping[int, int], images: Collection[int | str]
) -> tuple[dict[int | str, list[Row]], list[Fault]]:
    """The boxes by the ids of their photos, and those whose photo is not listed."""
    rows: dict[int | str, list[Row]] = defaultdict(list)
    unlisted = []
    for number, one in enumerate(annotations):
        if one.image_id not in images:
            unlisted.append(Fault("unlisted", _ELEMENT.format(number)))
            continue
        left, top, width, height = one.bbox
        rows[one.image_id].append(
            Row(
                number,
                classes.get(one.category_id, UNKNOWN),
                (top, left, top + height, left + width),
                bool(one.iscrowd),
                one.area if one.area and 0 < one.area < MOST_PIXELS else math.nan,
            )
        )
    return rows, unlisted


def _size(image: CocoPhoto) -> tuple[int, int] | None:
    if image.width and image.height and min(image.width, image.height) > 0:
        return int(image.width), int(image.height)
    return None
