"""Small photos with boxes, written in the forms that tools write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mask_folders import write_photo

LABELS = ("cat", "dog", "zebra")
SIZE = (40, 20)  # width and height


class Thing(NamedTuple):
    """A class index, and top, left, bottom and right in pixels."""

    label: int
    corners: tuple[float, float, float, float]


Things = Mapping[str, Sequence[Thing]]


def things(count: int, first: int = 0) -> dict[str, list[Thing]]:
    """Photos p000.jpg, ... with none to two things each, whose edges are whole pixels."""
    found = {}
    for number in range(first, first + count):
        boxes = [
            Thing(number % 3, (2, 3 + number % 5, 12, 20)),
            Thing((number + 1) % 3, (5, 22, 20, 22 + 2 * (number % 8 + 1))),
        ]
        found[f"p{number:03d}.jpg"] = boxes[: (0 if number % 10 == 7 else 1 + number % 2)]
    return found


def write_photos(folder: Path, names: Sequence[str] | Things) -> None:
    """Writes the photos; the bytes of each differ."""
    for name in names:
        write_photo(folder / name, int("".join(filter(str.isdigit, name)) or 0), SIZE)


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def coco_record(photos: Things, ids: Sequence[int] = (3, 4, 17)) -> dict[str, Any]:
    """As COCO has it: categories with gapped ids, boxes of left, top, width and height."""
    numbered = {name: 100 + number for number, name in enumerate(photos)}
    return {
        "images": [
            {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for name, number in numbered.items()
        ],
        "annotations": [
            {
                "id": 7 * number + place,
                "image_id": number,
                "category_id": ids[one.label],
                "bbox": [
                    one.corners[1],
                    one.corners[0],
                    one.corners[3] - one.corners[1],
                    one.corners[2] - one.corners[0],
                ],
                "iscrowd": 0,
            }
            for name, number in numbered.items()
            for place, one in enumerate(photos[name])
        ],
        "categories": [
            {"id": number, "name": name} for number, name in zip(ids, LABELS, strict=True)
        ],
    }


def write_coco(root: Path, photos: Things) -> Path:
    """Writes ``annotations.json`` and ``images/``."""
    write_photos(root / "images", photos)
    return write_text(root / "annotations.json", json.dumps(coco_record(photos)))


def voc_object(label: str, corners: Sequence[float], more: str = "") -> str:
    top, left, bottom, right = corners
    return (
        f"<object><name>{label}</name>{more}<bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
    )


def voc_xml(name: str, objects: str, size: tuple[int, int] = SIZE, more: str = "") -> str:
    width, height = size
    return (
        f"<annotation><filename>{name}</filename>{more}<size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>"
    )


def write_voc(
    root: Path, photos: Things, jpeg: str = "JPEGImages", xml: str = "Annotations"
) -> Path:
    """Writes photos and an XML file for each, into these folders."""
    write_photos(root / jpeg, photos)
    for name, boxes in photos.items():
        objects = "".join(voc_object(LABELS[one.label], one.corners) for one in boxes)
        write_text((root / xml / name).with_suffix(".xml"), voc_xml(name, objects))
    return root


def yolo_line(one: Thing) -> str:
    top, left, bottom, right = one.corners
    width, height = SIZE
    values = (
        (left + right) / 2 / width,
        (top + bottom) / 2 / height,
        (right - left) / width,
        (bottom - top) / height,
    )
    return f"{one.label} " + " ".join(f"{value:.6f}" for value in values)


def write_yolo(
    root: Path, photos: Things, images: str = "images", labels: str = "labels", names: bool = True
) -> Path:
    """Writes photos and a text file for each that has boxes, and ``data.yaml``."""
    write_photos(root / images, photos)
    (root / labels).mkdir(parents=True, exist_ok=True)
    for name, boxes in photos.items():
        if boxes:
            lines = "\n".join(map(yolo_line, boxes)) + "\n"
            write_text((root / labels / name).with_suffix(".txt"), lines)
    if names:
        write_text(root / "data.yaml", f"train: {images}\nnc: 3\nnames: {list(LABELS)}\n")
    return root


def write_table(root: Path, photos: Things, corners: int = 2, kind: str = "UNASSIGNED") -> Path:
    """Writes Model Maker's ``boxes.csv`` and the photos beside it."""
    write_photos(root, photos)
    lines = []
    for name, boxes in photos.items():
        if not boxes:
            lines.append(f"{kind},{name}" + "," * 9)
        for label, (top, left, bottom, right) in boxes:
            x, y, x_end, y_end = left / SIZE[0], top / SIZE[1], right / SIZE[0], bottom / SIZE[1]
            points = f"{x},{y},,,{x_end},{y_end},,"
            if corners == 4:
                points = f"{x},{y},{x_end},{y},{x_end},{y_end},{x},{y_end}"
            lines.append(f"{kind},{name},{LABELS[label]},{points}")
    return write_text(root / "boxes.csv", "\n".join(lines) + "\n")
