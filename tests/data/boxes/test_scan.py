"""Photos with boxes are read once, and what cannot be used is counted and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from box_folders import SIZE, write_photos

from edgekit.data.boxes.annotations import AnnotatedPart, AnnotatedPhoto, Row
from edgekit.data.boxes.faults import Fault
from edgekit.data.boxes.scan import ScannedPart, scan_boxes
from edgekit.data.boxes.targets import MOST
from edgekit.errors import UsageError

BOX = Row(1, 0, (2, 3, 12, 20))


def annotated(root: Path, number: int, *rows: Row, **more: object) -> AnnotatedPhoto:
    name = f"p{number:03d}.jpg"
    return AnnotatedPhoto.of(root / name, name, rows or (BOX,), **more)  # type: ignore[arg-type]


def photos(root: Path, count: int = 40) -> list[AnnotatedPhoto]:
    write_photos(root, [f"p{number:03d}.jpg" for number in range(count)])
    return [annotated(root, number) for number in range(count)]


def scan(found: list[AnnotatedPhoto], *faults: Fault) -> ScannedPart:
    return scan_boxes(AnnotatedPart(tuple(found), "line {}", faults), "--data x")


def test_photos_and_boxes(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    part = AnnotatedPart(tuple(photos(tmp_path, 3)), "line {}")
    scanned = scan_boxes(part, "--data x", lambda *call: told.append(call))
    assert told == [("scan", done, 3) for done in (1, 2, 3)]
    assert scanned.photos.names == ("p000.jpg", "p001.jpg", "p002.jpg")
    assert scanned.photos.sizes == (SIZE,) * 3
    assert scanned.photos.labels.tolist() == [-1] * 3
    np.testing.assert_array_equal(scanned.photos.label(1).corners, [BOX.corners])
    assert scanned.photos.load(1).size == SIZE
    assert scanned.unreadable == scanned.warnings == ()


def test_photos_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    found = photos(tmp_path)
    (tmp_path / "p003.jpg").write_bytes(b"no")
    found[5] = annotated(tmp_path, 5, BOX, size=(7, 7))
    scanned = scan(found)
    assert len(scanned.photos) == 38
    assert [name for name, _ in scanned.unreadable] == ["p003.jpg", "p005.jpg"]
    (line,) = scanned.warnings
    assert line.startswith("2 photos with boxes cannot be used and are left out: p003.jpg: not a ")
    assert "p005.jpg: it has 40 x 20 pixels, and its boxes are of 7 x 7" in line


def test_too_many_of_them_end_the_run(tmp_path: Path) -> None:
    found = photos(tmp_path)
    for number in range(3):
        (tmp_path / f"p{number:03d}.jpg").unlink()
    with pytest.raises(UsageError, match="3 of the 40 photos with boxes of --data x") as caught:
        scan(found)
    assert "p000.jpg: No such file" in (caught.value.cause or "")
    assert caught.value.hint


def test_copies_are_left_out_but_for_the_one_with_most_boxes(tmp_path: Path) -> None:
    found = photos(tmp_path, 6)
    for number in (2, 4):
        (tmp_path / f"p{number:03d}.jpg").write_bytes((tmp_path / "p001.jpg").read_bytes())
    found[2] = annotated(tmp_path, 2, BOX, Row(2, 1, (0, 0, 5, 5)))
    scanned = scan(found)
    assert scanned.photos.names == ("p000.jpg", "p002.jpg", "p003.jpg", "p005.jpg")
    assert scanned.warnings == (
        "2 photos are copies of others, byte for byte, and are left out: p001.jpg of p002.jpg; "
        "p004.jpg of p002.jpg",
    )


def test_faults_are_counted_and_a_few_are_named(tmp_path: Path) -> None:
    found = photos(tmp_path, 6)
    for number in range(5):
        found[number] = annotated(tmp_path, number, BOX, Row(8, 0, (5, 5, 5, 5)))
    found[5] = annotated(tmp_path, 5, Row(2, 0, (-9, 3, 12, 20)), Row(3, -1, (0, 0, 5, 5)))
    scanned = scan(found, Fault("missing", "q.jpg"))
    assert scanned.warnings == (
        "1 photos are annotated and missing; they are left out: q.jpg",
        "1 boxes are of a class that the data set does not name, and are left out: "
        "p005.jpg (line 3)",
        "5 boxes have no area and are left out: p000.jpg (line 8); p001.jpg (line 8); "
        "p002.jpg (line 8); …",
        "1 boxes reach beyond their photos, and are cut off there: p005.jpg (line 2)",
    )
    assert [len(boxes) for boxes in scanned.photos.boxes] == [1] * 6


def test_photos_without_boxes_crowds_and_crowded_ones_are_counted(tmp_path: Path) -> None:
    found = photos(tmp_path, 4)
    found[0] = AnnotatedPhoto.of(found[0].path, "p000.jpg", [])
    many = [Row(i, 0, (0, 0, 20, 0.3 * i + 1)) for i in range(MOST + 1)]
    found[1] = annotated(tmp_path, 1, *many)
    found[2] = annotated(tmp_path, 2, BOX, Row(2, 0, (1, 1, 9, 9), True))
    scanned = scan(found)
    assert len(scanned.photos) == 4
    assert len(scanned.photos.label(0)) == 0
    assert [line.split(":")[0] for line in scanned.warnings] == [
        "1 photos have more boxes than are learned from at a time",
        "1 of 4 photos have no box",
        "1 boxes are of crowds or difficult",
    ]
    assert f"p001.jpg has {MOST + 1}" in scanned.warnings[0]


def test_turned_photos_of_unknown_boxes_are_counted(tmp_path: Path) -> None:
    from PIL import Image

    found = photos(tmp_path, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(tmp_path / "p001.jpg").save(tmp_path / "p001.jpg", exif=exif)
    scanned = scan(found)
    assert scanned.photos.sizes[1] == (20, 40)
    assert "1 photos are stored turned, and no size says" in scanned.warnings[0]


def test_no_box_at_all_ends_the_run(tmp_path: Path) -> None:
    (photo,) = photos(tmp_path, 1)
    empty = AnnotatedPhoto.of(photo.path, photo.name, [Row(1, -1, BOX.corners)])
    with pytest.raises(UsageError, match="no photo of --data x has a box") as caught:
        scan([empty])
    assert "1 boxes are of a class" in (caught.value.cause or "")
