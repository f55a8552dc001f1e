"""Every form of annotations gives the same record of the same photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import places
import pytest
from box_folders import (
    LABELS,
    SIZE,
    Thing,
    Things,
    things,
    write_coco,
    write_photos,
    write_table,
    write_text,
    write_voc,
    write_yolo,
)
from prerequisites import needs

from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.boxes.splits import load_box_splits
from edgekit.data.splits import Splits, Wanted

PHOTOS = things(30)
BCCD = places.SHARED / "data" / "bccd"


def write_heading(root: Path, photos: Things) -> Path:
    """Writes the table of TensorFlow's object detection API."""
    write_photos(root, photos)
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for name, boxes in photos.items():
        if not boxes:
            lines.append(f"{name},{SIZE[0]},{SIZE[1]},,,,,")
        for label, (top, left, bottom, right) in boxes:
            lines.append(f"{name},40,20,{LABELS[label]},{left},{top},{right},{bottom}")
    return write_text(root / "boxes.csv", "\n".join(lines))


#: Each writes photos and returns what ``--data`` is given.
FORMS: dict[str, Callable[[Path, Things], Path]] = {
    "coco file": write_coco,
    "coco folder": lambda root, photos: write_coco(root, photos).parent,
    "voc": write_voc,
    "xml beside photos": lambda root, photos: write_voc(root, photos, ".", "."),
    "yolo": write_yolo,
    "yolo's table": lambda root, photos: write_yolo(root, photos) / "data.yaml",
    "model maker": write_table,
    "model maker folder": lambda root, photos: write_table(root, photos).parent,
    "four corners": lambda root, photos: write_table(root, photos, corners=4),
    "table with a heading": write_heading,
}


def load(source: Path) -> Splits:
    return load_box_splits(Wanted(source, calibration_count=10))


def record(photos: BoxedPhotos) -> list[tuple[str, str, tuple[int, int], list[tuple]]]:
    """Names without folders, contents, sizes and boxes, to be compared."""
    return [
        (
            name.rsplit("/", 1)[-1],
            photos.hashes[index],
            photos.size(index),
            [
                (label, *np.round(corners, 3).tolist(), bool(crowd), round(float(area), 2))
                for corners, label, crowd, area in zip(
                    photos.label(index).corners,
                    photos.label(index).classes.tolist(),
                    photos.label(index).crowds,
                    photos.label(index).areas,
                    strict=True,
                )
            ],
        )
        for index, name in enumerate(photos.names)
    ]


def everything(splits: Splits) -> list[tuple]:
    assert isinstance(splits.train, BoxedPhotos)
    assert isinstance(splits.val, BoxedPhotos)
    return sorted(record(splits.train) + record(splits.val))


@pytest.mark.parametrize("form", FORMS)
def test_the_same_photos_give_the_same_record(form: str, tmp_path: Path) -> None:
    splits = load(FORMS[form](tmp_path, PHOTOS))
    assert splits.labels == LABELS
    assert "3 of 30 photos have no box: nothing is to be found in them" in splits.warnings
    found = everything(splits)
    assert [one[0] for one in found] == list(PHOTOS)
    assert all(one[2] == SIZE for one in found)
    expected = [
        [(label, *corners, False, round(area(corners), 2)) for label, corners in boxes]
        for boxes in PHOTOS.values()
    ]
    assert [one[3] for one in found] == expected


def area(corners: tuple[float, ...]) -> float:
    top, left, bottom, right = corners
    return (bottom - top) * (right - left)


@needs("shared", BCCD.is_dir())
def test_real_photos_in_every_form(tmp_path: Path) -> None:
    """BCCD's validation photos, which are XML, written again in the other forms."""
    from edgekit.data.boxes.find import find_box_layout
    from edgekit.data.boxes.scan import scan_boxes

    layout = find_box_layout(BCCD, "--data")
    assert layout.labels == ("Platelets", "RBC", "WBC")
    (first, *_) = scan_boxes(layout.parts["validation"], "BCCD").photos.names
    photos = scan_boxes(layout.parts["validation"], "BCCD").photos.subset(range(12))
    assert first.startswith("val/JPEGImages/")
    lines, texts = [], {}
    names = {"Platelets": 0, "RBC": 1, "WBC": 2}
    for index, name in enumerate(photos.names):
        path = tmp_path / "images" / Path(name).name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path(str(photos.places[index])).read_bytes())
        boxes, (width, height) = photos.label(index), photos.size(index)
        rows = []
        for (top, left, bottom, right), label in zip(
            boxes.corners.tolist(), boxes.classes.tolist(), strict=True
        ):
            edges = left / width, top / height, right / width, bottom / height
            lines.append(
                f"UNASSIGNED,{path.name},{layout.labels[label]},{edges[0]:.7f},{edges[1]:.7f},,,"
                f"{edges[2]:.7f},{edges[3]:.7f},,"
            )
            centre = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
            size = edges[2] - edges[0], edges[3] - edges[1]
            rows.append(f"{label} " + " ".join(f"{value:.7f}" for value in (*centre, *size)))
        texts[path.stem] = "\n".join(rows)
    table = write_text(tmp_path / "boxes.csv", "\n".join(lines))
    for stem, text in texts.items():
        write_text(tmp_path / "labels" / f"{stem}.txt", text)
    yaml = write_text(tmp_path / "data.yaml", f"train: images\nnames: {list(names)}\n")
    for other in (table, yaml):
        again = scan_boxes(next(iter(find_box_layout(other, "--data").parts.values())), "again")
        assert [Path(name).name for name in again.photos.names] == [
            Path(name).name for name in photos.names
        ]
        for index in range(12):
            one, same = photos.label(index), again.photos.label(index)
            np.testing.assert_array_equal(one.classes, same.classes)
            np.testing.assert_allclose(one.corners, same.corners, atol=2e-3)


@needs("shared", BCCD.is_dir())
def test_bccd_is_read_and_its_empty_boxes_are_named() -> None:
    splits = load_box_splits(Wanted(BCCD))
    assert (len(splits.train), len(splits.val)) == (292, 72)
    assert splits.labels == ("Platelets", "RBC", "WBC")
    assert splits.unreadable == ()
    empty = [line for line in splits.warnings if "no area" in line]
    assert len(empty) == 1
    assert empty[0].startswith("2 boxes have no area and are left out: ")
    assert isinstance(splits.train, BoxedPhotos)
    counts = sum(
        np.bincount(boxes.classes, minlength=3)
        for photos in (splits.train, splits.val)
        for boxes in photos.boxes  # type: ignore[union-attr]
    )
    # The data set's own figures, but for two red cells.
    assert counts.tolist() == [361, 4155 - 2, 372]


def test_a_thing_is_what_is_written() -> None:
    assert PHOTOS["p003.jpg"][0] == Thing(0, (2, 6, 12, 20))
