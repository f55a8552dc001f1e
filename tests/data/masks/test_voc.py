"""Pascal VOC's layout."""

from __future__ import annotations

from pathlib import Path

from mask_folders import classes_of, write_mask, write_photo

from edgekit.data.masks.find import find_layout
from edgekit.data.masks.voc import LABELS
from edgekit.data.split_folders import ALL, TRAIN, VAL


def write(root: Path, **lists: range) -> Path:
    """Writes 12 photos, masks of ten of them, and lists of numbers."""
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for number in range(12):
        write_photo(root / "JPEGImages" / f"2007_{number:06d}.jpg", number)
        if number < 10:
            mask = root / "SegmentationClass" / f"2007_{number:06d}.png"
            write_mask(mask, classes_of(number, 21), palette=True)
    for name, numbers in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"2007_{n:06d}\n" for n in numbers))
    return root


def test_lists_are_splits_and_other_photos_are_no_mistake(tmp_path: Path) -> None:
    root = write(tmp_path / "VOC2012", train=range(6), val=range(6, 9), trainval=range(9))
    for given in (root, tmp_path):
        layout = find_layout(given, "--data")
        assert layout.name == "Pascal VOC"
        assert {role: len(part.photos) for role, part in layout.parts.items()} == {TRAIN: 6, VAL: 3}
        assert layout.parts[VAL].masks.keys() == {f"2007_{n:06d}" for n in range(6, 9)}
        assert layout.classes.labels == LABELS
    assert (len(LABELS), LABELS[15]) == (21, "person")


def test_one_list_is_divided(tmp_path: Path) -> None:
    layout = find_layout(write(tmp_path, default=range(10)), "--data")
    assert {role: len(part.photos) for role, part in layout.parts.items()} == {ALL: 10}


def test_a_list_of_both_alone_is_divided(tmp_path: Path) -> None:
    layout = find_layout(write(tmp_path, trainval=range(9)), "--data")
    assert sum(len(part.photos) for part in layout.parts.values()) == 9


def test_a_label_map_names_other_classes(tmp_path: Path) -> None:
    root = write(tmp_path, default=range(10))
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbg:0,0,0::\na:9,0,0::\n")
    classes = find_layout(root, "--data").classes
    assert (classes.labels, classes.form.is_color) == (("bg", "a"), True)
