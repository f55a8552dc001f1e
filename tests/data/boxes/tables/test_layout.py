"""Tables of boxes, and where their photos are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from box_folders import LABELS, things, write_photos, write_table, write_text

from edgekit.data.boxes.faults import Fault
from edgekit.data.boxes.tables.layout import find_table_boxes, read_table
from edgekit.data.split_folders import ALL, TEST, TRAIN, VAL
from edgekit.errors import UsageError

PHOTOS = things(4)


def test_sets_are_splits(tmp_path: Path) -> None:
    path = write_table(tmp_path, PHOTOS)
    lines = path.read_text().splitlines()
    kinds = {"p000": "TRAINING", "p001": "VALIDATE", "p002": "TEST", "p003": "UNASSIGNED"}
    changed = [f"{kinds[line.split(',')[1][:4]]},{line.split(',', 1)[1]}" for line in lines]
    write_text(path, "\n".join(changed))
    layout = read_table(path, tmp_path)
    found = {role: [one.name for one in part.photos] for role, part in layout.parts.items()}
    assert found == {TRAIN: ["p000.jpg", "p003.jpg"], VAL: ["p001.jpg"], TEST: ["p002.jpg"]}
    assert layout.labels == LABELS
    assert not layout.is_closed


def test_rows_of_one_photo_are_its_boxes(tmp_path: Path) -> None:
    part = read_table(write_table(tmp_path, PHOTOS), tmp_path).parts[ALL]
    assert [len(photo.classes) for photo in part.photos] == [1, 2, 1, 2]
    photo = part.photos[1]
    assert photo.is_relative
    np.testing.assert_allclose(
        photo.corners * [20, 40, 20, 40], [one.corners for one in PHOTOS["p001.jpg"]]
    )
    assert photo.numbers.tolist() == [2, 3]


def test_photos_are_found_by_their_path_or_their_name(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos" / "a", ["1.jpg"])
    write_photos(tmp_path / "photos", ["2.jpg"])
    row = "cat,0.1,0.2,,,0.5,0.6,,\n"
    path = write_text(
        tmp_path / "b.csv", f"TRAIN,a/1.jpg,{row}TRAIN,gs://b/2.jpg,{row}TRAIN,3.jpg,{row}"
    )
    with pytest.raises(UsageError, match=r"photos of .* are missing") as caught:
        read_table(path, tmp_path)
    assert "--photos" in (caught.value.hint or "")
    part = read_table(path, tmp_path, tmp_path / "photos").parts[TRAIN]
    assert [photo.name for photo in part.photos] == ["a/1.jpg", "b/2.jpg"]
    assert part.faults == (Fault("missing", "3.jpg"),)


def test_a_file_of_classes_says_their_order(tmp_path: Path) -> None:
    path = write_table(tmp_path, PHOTOS)
    write_text(tmp_path / "labels.txt", "zebra\ncat\n")
    layout = read_table(path, tmp_path)
    assert layout.labels == ("zebra", "cat")
    found = np.concatenate([photo.classes for photo in layout.parts[ALL].photos])
    assert set(found.tolist()) == {-1, 0, 1}


def test_a_table_in_each_folder_of_a_split(tmp_path: Path) -> None:
    write_table(tmp_path / "train", PHOTOS)
    write_table(tmp_path / "test", things(2, first=5))
    write_text(tmp_path / "notes.csv", "what,why\n")
    layout = find_table_boxes(tmp_path)
    assert layout is not None
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 4, TEST: 2}
    assert layout.labels == LABELS
    assert layout.parts[TRAIN].photos[0].is_relative


def test_other_tables_are_something_else(tmp_path: Path) -> None:
    write_photos(tmp_path, PHOTOS)
    write_text(tmp_path / "labels.csv", "p000.jpg,cat\n")
    assert find_table_boxes(tmp_path) is None
