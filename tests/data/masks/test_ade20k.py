"""ADE20K's layout: value 0 is no class."""

from __future__ import annotations

from pathlib import Path

import pytest
from mask_folders import write_pairs

from edgekit.data.masks.find import find_layout
from edgekit.data.split_folders import TRAIN, VAL
from edgekit.errors import UsageError


def write(root: Path, table: str) -> Path:
    for split in ("training", "validation"):
        write_pairs(root / "images" / split, root / "annotations" / split, 3)
    (root / "objectInfo150.txt").write_text(table)
    return root


def test_names_and_values(tmp_path: Path) -> None:
    table = "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t9\t9\twall, side\n2\t0.1\t9\t9\tbuilding\n"
    layout = find_layout(write(tmp_path, table), "--data")
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 3, VAL: 3}
    assert layout.classes.labels == ("wall", "building")
    assert layout.classes.form.by_value[[0, 1, 2, 3, 255]].tolist() == [255, 0, 1, -1, 255]


def test_a_table_without_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no class") as caught:
        find_layout(write(tmp_path, "Idx\tName\n"), "--data")
    assert caught.value.hint
