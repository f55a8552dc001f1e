"""Cityscapes' layout: ids become the 19 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mask_folders import write_mask, write_photo

from edgekit.data.masks.cityscapes import CLASSES
from edgekit.data.masks.find import find_layout
from edgekit.data.masks.reading import PLAIN, decode_mask
from edgekit.data.split_folders import TRAIN, VAL
from edgekit.errors import UsageError

IDS = np.arange(48, dtype=np.uint8).reshape(6, 8) % 34


def write(root: Path, *kinds: str) -> Path:
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        for number in range(count):
            name = f"{split}/ulm/ulm_{number:06d}_000019"
            write_photo(root / "leftImg8bit" / f"{name}_leftImg8bit.png", number, IDS.shape[::-1])
            for kind in (*kinds, "color", "instanceIds"):
                write_mask(root / "gtFine" / f"{name}_gtFine_{kind}.png", IDS)
    return root


def test_ids_become_classes(tmp_path: Path) -> None:
    layout = find_layout(write(tmp_path, "labelIds"), "--data")
    assert layout.name == "Cityscapes"
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 4, VAL: 2}
    part = layout.parts[TRAIN]
    assert part.photos.keys() == part.masks.keys()
    assert set(part.photos) == {f"ulm/ulm_{n:06d}_000019" for n in range(4)}
    assert len(layout.classes.labels) == 19
    path = part.masks["ulm/ulm_000001_000019"]
    assert path.name.endswith("_gtFine_labelIds.png")
    mask = np.array(decode_mask(path.read_bytes(), layout.classes.form))
    for index, (name, value) in enumerate(CLASSES.items()):
        assert (mask[value == IDS] == index).all(), name
    assert (mask[~np.isin(IDS, list(CLASSES.values()))] == 255).all()


def test_masks_of_train_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    layout = find_layout(write(tmp_path, "labelIds", "labelTrainIds"), "--data")
    assert layout.classes.form == PLAIN
    assert all(
        path.name.endswith("_labelTrainIds.png") for path in layout.parts[VAL].masks.values()
    )


def test_photos_without_a_split_in_common_are_none(tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit" / "train").mkdir(parents=True)
    (tmp_path / "gtFine" / "val").mkdir(parents=True)
    with pytest.raises(UsageError, match="looks like Cityscapes") as caught:
        find_layout(tmp_path, "--data")
    assert caught.value.hint
