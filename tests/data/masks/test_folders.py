"""Photos in one folder and masks in another, however the two are arranged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mask_folders import write_pairs

from edgekit.data.masks.find import find_layout, match_layout
from edgekit.data.masks.folders import CAMVID
from edgekit.data.masks.layouts import Layout
from edgekit.data.split_folders import ALL, TEST, TRAIN, VAL
from edgekit.errors import UsageError

CLASSES = "road\ncar\nsky\n"


def counts(layout: Layout | None) -> dict[str, tuple[int, int]]:
    """How many photos and masks each part has."""
    assert layout is not None
    return {role: (len(part.photos), len(part.masks)) for role, part in layout.parts.items()}


@pytest.mark.parametrize(
    ("photos", "masks"),
    [("images", "masks"), ("Images", "labels"), ("imgs", "annotations"), ("JPEGImages", "gt")],
)
def test_images_and_masks(tmp_path: Path, photos: str, masks: str) -> None:
    write_pairs(tmp_path / photos / "deep", tmp_path / masks / "deep", 3)
    (tmp_path / "classes.txt").write_text(CLASSES)
    layout = find_layout(tmp_path, "--data")
    assert layout.name == "images and masks"
    assert counts(layout) == {ALL: (3, 3)}
    assert layout.classes.labels == ("road", "car", "sky")
    assert set(layout.parts[ALL].photos) == {f"deep/p00{i}" for i in range(3)}


def test_folders_of_splits_with_images_and_masks_in_each(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "test")):
        write_pairs(tmp_path / split / "images", tmp_path / split / "masks", 3 + number)
    (tmp_path / "train" / "classes.txt").write_text(CLASSES)
    layout = match_layout(tmp_path)
    assert counts(layout) == {TRAIN: (3, 3), VAL: (4, 4), TEST: (5, 5)}
    assert layout is not None
    assert layout.classes.labels == ("road", "car", "sky")
    inner = match_layout(tmp_path / "valid")
    assert counts(inner) == {ALL: (4, 4)}


def test_a_split_by_itself_has_its_classes_beside_it(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train" / "images", tmp_path / "train" / "masks", 3)
    (tmp_path / "classes.txt").write_text(CLASSES)
    assert find_layout(tmp_path / "train", "--data").classes.labels == ("road", "car", "sky")


def test_images_and_masks_with_folders_of_splits_in_each(tmp_path: Path) -> None:
    for split, name in (("train", "training"), ("val", "validation")):
        write_pairs(tmp_path / "images" / split, tmp_path / "annotations" / name, 4)
    assert counts(match_layout(tmp_path)) == {TRAIN: (4, 4), VAL: (4, 4)}


@pytest.mark.parametrize("masks", ["{}_masks", "{}_labels", "{}-annotations"])
def test_folders_of_masks_named_after_the_photos(tmp_path: Path, masks: str) -> None:
    for split in ("train", "val"):
        write_pairs(tmp_path / split, tmp_path / masks.format(split), 4)
    layout = match_layout(tmp_path)
    assert counts(layout) == {TRAIN: (4, 4), VAL: (4, 4)}
    assert layout is not None
    assert layout.classes.labels == ()


def test_segnets_camvid_has_eleven_classes_and_leaves_the_twelfth_out(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        write_pairs(tmp_path / split, tmp_path / f"{split}annot", 2, suffix=".png")
    layout = find_layout(tmp_path, "--data")
    assert layout.name == "SegNet's CamVid"
    assert counts(layout) == {TRAIN: (2, 2), VAL: (2, 2), TEST: (2, 2)}
    assert layout.classes.labels == CAMVID
    by_value = layout.classes.form.by_value
    assert by_value[:13].tolist() == [*range(11), 255, -1]
    assert "taken for CamVid's" in layout.notes[0]
    (tmp_path / "classes.txt").write_text(CLASSES)
    assert find_layout(tmp_path, "--data").classes.labels == ("road", "car", "sky")


def test_photos_and_masks_side_by_side(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_pairs(tmp_path / split, tmp_path / split, 4, mask="_mask.png")
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, road\n1, car\n2, a\n")
    layout = find_layout(tmp_path, "--data")
    assert counts(layout) == {TRAIN: (4, 4), VAL: (4, 4)}
    assert layout.classes.labels == ("road", "car", "a")
    assert counts(match_layout(tmp_path / "valid")) == {ALL: (4, 4)}


def test_what_an_archive_is_unpacked_to_counts(tmp_path: Path) -> None:
    write_pairs(tmp_path / "set" / "images", tmp_path / "set" / "masks", 3)
    assert counts(match_layout(tmp_path)) == {ALL: (3, 3)}


def test_two_photos_of_one_name_are_refused(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png"):
        write_pairs(tmp_path / "images", tmp_path / "masks", 1, suffix=suffix)
    with pytest.raises(UsageError, match=r"p000\.jpg and p000\.png have one name"):
        find_layout(tmp_path, "--data")


def test_what_holds_no_masks_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "images" / "cats").mkdir(parents=True)
    (tmp_path / "dogs").mkdir()
    with pytest.raises(UsageError, match="holds no photos with masks") as caught:
        find_layout(tmp_path, "--val")
    assert caught.value.cause == "its folders are dogs, images"
    assert "masks/" in (caught.value.hint or "")
    assert match_layout(tmp_path) is None


def test_no_folder_at_all(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\n")
    for name, what in (("list.txt", "is not a folder"), ("nothing", "does not exist")):
        with pytest.raises(UsageError, match=f"--data .*{name} {what}"):
            find_layout(tmp_path / name, "--data")


def test_a_folder_named_masks_without_images_is_none(tmp_path: Path) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", 1)
    (tmp_path / "masks" / "p000.png").unlink()
    np.save(tmp_path / "masks" / "p000.npy", np.zeros(1))
    assert match_layout(tmp_path) is None
