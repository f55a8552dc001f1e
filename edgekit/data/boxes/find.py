"""Which layout a data set of photos with boxes has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edgekit.data.boxes.annotations import BoxLayout
from edgekit.data.boxes.coco import find_coco_boxes, read_coco
from edgekit.data.boxes.tables.layout import find_table_boxes, read_table
from edgekit.data.boxes.voc.layout import find_voc_boxes
from edgekit.data.boxes.yolo.layout import find_yolo_boxes, read_yolo
from edgekit.data.hub.reference import refuse_hub
from edgekit.data.photo_files import Source, printable
from edgekit.data.split_folders import sub_folders
from edgekit.errors import UsageError

PHOTOS = "--photos"

#: Each returns what a folder holds, or None where it has another layout. The first one counts.
FOLDERS: tuple[Callable[[Path], BoxLayout | None], ...] = (
    find_coco_boxes,
    find_voc_boxes,
    find_yolo_boxes,
    find_table_boxes,
)
#: By the ending of a file's name: reads it and looks for its photos, which may be elsewhere.
FILES: dict[str, Callable[[Path, Path | None], BoxLayout]] = {
    ".json": lambda path, photos: read_coco(path, path.parent, photos),
    ".csv": lambda path, photos: read_table(path, path.parent, photos),
}
_TABLES = (".yaml", ".yml")
_HINT = (
    "known are COCO's JSON (with --photos where the photos are not beside it), Pascal VOC's "
    "JPEGImages/ and Annotations/, XML files beside photos, YOLO's images/ and labels/ or "
    "data.yaml, and Model Maker's CSV"
)


def find_box_layout(source: Source, option: str, photos: Source | None = None) -> BoxLayout:
    """Returns what a folder or file that the user named holds.

    Args:
        source: the folder or file.
        option: how the user named it, for messages.
        photos: the folder of an annotation file's photos, if the user named it.

    Raises:
        UsageError: it does not exist, is of no known layout, or something in it is wrong.
    """
    layout = seek_box_layout(source, option, photos)
    if layout is None:
        raise UsageError(
            f"{option} {source} holds no photos with boxes",
            cause=_found(Path(os.path.abspath(source))),
            hint=_HINT,
        )
    return layout


def seek_box_layout(source: Source, option: str, photos: Source | None = None) -> BoxLayout | None:
    """As `find_box_layout`, and None where it is of no known layout."""
    refuse_hub(source, option, "a detector's")
    path = Path(os.path.abspath(source))
    folder = None if photos is None else Path(os.path.abspath(photos))
    if not path.exists():
        raise UsageError(f"{option} {source} does not exist", hint="check the path; " + _HINT)
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{PHOTOS} {photos} is no folder", hint="check the path")
    try:
        layout = _match(path, folder)
    except OSError as error:
        raise UsageError(f"{option} {source} cannot be read", cause=str(error)) from error
    if layout is not None and not any(part.photos for part in layout.parts.values()):
        raise UsageError(
            f"{option} {source} looks like {layout.name}, and holds no photos with boxes",
            cause="no photo has an annotation, and no annotation a photo",
            hint="name both alike: car.jpg and car.xml or car.txt",
        )
    return layout


def takes_photos(source: Source) -> bool:
    """Whether the photos of what the user named may be elsewhere: of a file of annotations."""
    return Path(source).suffix.lower() in FILES and not os.path.isdir(source)


def match_box_layout(path: Path, photos: Path | None = None) -> BoxLayout | None:
    """Returns what a folder or file holds; None where it is of no known layout.

    Raises:
        UsageError: it is of a known layout, and something in it is wrong.
        OSError: it cannot be read.
    """
    if path.is_file():
        ending = path.suffix.lower()
        if ending in FILES:
            return FILES[ending](path, photos)
        return read_yolo(path) if ending in _TABLES else None
    while True:
        for find in FOLDERS:
            layout = find(path)
            if layout is not None:
                return layout
        # All that an archive is unpacked to may be one folder.
        inner = sub_folders(path)
        if len(inner) != 1:
            return None
        path = inner[0]


def _match(path: Path, photos: Path | None) -> BoxLayout | None:
    if photos is not None and not takes_photos(path):
        raise UsageError(
            f"{PHOTOS} {photos} is for a file of annotations",
            cause=f"{path} has its photos by itself",
            hint=f"leave {PHOTOS} out, or give a JSON or CSV file to --data",
        )
    return match_box_layout(path, photos)


def _found(path: Path) -> str:
    if path.is_file():
        return f"{printable(path.name)} is no JSON, CSV or YAML file"
    names = ", ".join(printable(folder.name) for folder in sub_folders(path)[:8])
    return f"its folders are {names}" if names else "it has no folders"
