"""Splits are told from classes by what is in them, and from each other by name or by size."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import places
import pytest
from PIL import Image
from prerequisites import needs

from edgekit.data.photo_files import HashedPhotos
from edgekit.data.sources import list_to_measure
from edgekit.data.split_folders import EXTRA, TEST, TRAIN, VAL, find_split_folders, role_of
from edgekit.data.splits import Splits, fingerprint, load_splits
from edgekit.errors import UsageError

CASES = places.SHARED / "cases" / "data"


@pytest.fixture
def make(tmp_path: Path):
    """Writes photos, all different: a number of them for each folder."""
    made = [0]

    def write(counts: dict[str, int], root: str = "data") -> Path:
        for folder, count in counts.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                made[0] += 1
                color = (made[0] % 256, made[0] // 256, 9)
                path = tmp_path / root / folder / f"{made[0]:04}.png"
                Image.new("RGB", (8, 8), color).save(path)
        return tmp_path / root

    return write


def split(name: str, count: int, classes: str = "ab") -> dict[str, int]:
    return {f"{name}/{label}": count for label in classes}


def parts(splits: Splits, root: Path) -> tuple[str, str]:
    """The folders below ``root`` from which training and validation are."""
    found = []
    for photos in (splits.train, splits.val):
        assert isinstance(photos, HashedPhotos)
        above = {Path(str(place)).parent.parent for place in photos.places}
        (folder,) = above
        found.append(folder.relative_to(root).as_posix())
    return found[0], found[1]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("Training", "Testing"),
        ("train", "val"),
        ("TRAIN", "VALID"),
        ("train", "test"),
        ("seg_train", "seg_test"),
        ("train2017", "val2017"),
        ("TrainingSet", "ValidationSet"),
        ("training", "dev"),
        ("train", "eval"),
        ("train", "second"),
        ("second", "validation"),
        ("big", "test"),
    ],
)
def test_by_name(make, train: str, val: str) -> None:
    root = make(split(train, 12) | split(val, 8))
    splits = load_splits(root, None, None)
    assert splits.labels == ("a", "b")
    assert parts(splits, root) == (train, val)
    assert (len(splits.train), len(splits.val)) == (24, 16)
    (note,) = [line for line in splits.warnings if "are splits of the same classes" in line]
    assert f"{train} is for training, {val} for validation" in note


@pytest.mark.parametrize("names", [("one", "two"), ("z", "a"), ("part 1", "part 2")])
def test_by_size_where_names_do_not_tell(make, names: tuple[str, str]) -> None:
    root = make(split(names[0], 12) | split(names[1], 8))
    splits = load_splits(root, None, None)
    assert (splits.labels, parts(splits, root)) == (("a", "b"), names)
    assert any("by their sizes (24 and 16 photos)" in line for line in splits.warnings)


def test_three_by_size(make) -> None:
    root = make(split("x", 4) | split("y", 20) | split("z", 8))
    splits = load_splits(root, None, None)
    assert parts(splits, root) == ("y", "z")
    assert any(f"{root / 'x'} is left out" in line for line in splits.warnings)


def test_what_is_neither_is_left_out_and_said(make) -> None:
    root = make(
        split("train", 12)
        | split("val", 5)
        | split("test", 4)
        | {"unlabeled": 3, "docs/figures/1": 2, "docs/figures/2": 2}
    )
    splits = load_splits(root, None, None)
    assert (splits.labels, len(splits.train), len(splits.val)) == (("a", "b"), 24, 10)
    said = "\n".join(splits.warnings)
    assert f"{root / 'test'} is left out; --val {root / 'test'} would measure on it" in said
    assert re.search(r"unlabeled is left out.* --unlabelled with --recipe noisy-student", said)
    assert "docs/figures is left out, as it has none of the classes" in said
    other = load_splits(root, root / "test", None)
    assert (len(other.train), len(other.val)) == (24, 8)
    assert not any("test is left out" in line for line in other.warnings)
    assert any("--val is as given" in line for line in other.warnings)
    assert any(f"{root / 'val'} is left out" in line for line in other.warnings)


def test_flat_test_photos_beside_the_training_classes(make) -> None:
    root = make(split("train", 20) | {"test": 9})
    splits = load_splits(root, None, None)
    assert (splits.labels, len(splits.train), len(splits.val)) == (("a", "b"), 32, 8)
    assert any("a fifth of it is held back" in line for line in splits.warnings)
    assert f"{root / 'test'} is left out, as it has no class folders" in splits.warnings


def test_a_split_without_one_of_the_classes(make) -> None:
    root = make(split("train", 12, "abc") | split("val", 6, "ac"))
    splits = load_splits(root, None, None)
    assert splits.labels == ("a", "b", "c")
    assert sorted(set(splits.val.labels.tolist())) == [0, 2]
    assert "1 of the 3 classes have no validation photo" in splits.warnings
    one = make(split("train", 12, "ab") | split("val", 6, "a"), "one")
    assert parts(load_splits(one, None, None), one) == ("train", "val")


def test_a_class_that_training_lacks_is_named(make) -> None:
    root = make(split("train", 12, "ab") | split("val", 6, "abc"))
    with pytest.raises(UsageError, match=r"1 classes that --data has not: c, in .*val"):
        load_splits(root, None, None)


def test_classes_match_across_splits_in_either_form(make) -> None:
    root = make({"train/caf\xe9": 12, "train/b": 12, "test/cafe\u0301": 5, "test/b": 5})
    splits = load_splits(root, None, None)
    assert splits.labels == ("b", "caf\xe9")
    assert len(splits.val) == 10


def test_what_an_archive_is_unpacked_to(make) -> None:
    nested = split("x/seg_train/seg_train", 12) | split("x/seg_test/seg_test", 6)
    root = make(nested | {"x/seg_pred/seg_pred": 5})
    splits = load_splits(root, None, None)
    assert parts(splits, root) == ("x/seg_train/seg_train", "x/seg_test/seg_test")
    assert any(
        line.startswith(f"all that {root} holds is in {root / 'x'}") for line in splits.warnings
    )
    plain = make({"flowers/a": 20, "flowers/b": 20}, "plain")
    assert load_splits(plain, None, None).labels == ("a", "b")


def test_a_copy_of_the_whole_in_itself(make) -> None:
    """A data set of chest X-rays is distributed so."""
    chest = split("train", 12) | split("test", 6) | split("val", 2)
    root = make(chest | {f"chest/{name}": 3 for name in chest} | {"__MACOSX/train/a": 0})
    splits = load_splits(root, None, None)
    assert parts(splits, root) == ("train", "val")
    assert any(f"{root / 'chest'} is left out" in line for line in splits.warnings)


@pytest.mark.parametrize(
    "counts",
    [
        {"ant/2019": 9, "ant/2020": 9, "bee/left": 9, "bee/right": 9},
        {"ant/images": 15, "bee/images": 15},
        {"ant": 5, "ant/more": 15, "bee": 15},
        {"vehicle/car": 9, "vehicle/other": 9, "animal/cat": 9, "animal/dog": 9, "animal/other": 9},
        {"train": 15, "car": 15, "bus": 15},
        {"train/steam": 9, "train/diesel": 9, "car/suv": 9, "car/van": 9},
        {"ant/x": 9, "ant/y": 9, "bee/x": 9, "bee/y": 9, "cat": 9},
        {"valid": 15, "invalid": 15},
    ],
    ids=lambda counts: " ".join(counts),
)
def test_class_folders_with_folders_in_them_stay_classes(make, counts: dict[str, int]) -> None:
    root = make(counts)
    splits = load_splits(root, None, None)
    assert splits.labels == tuple(sorted({name.split("/")[0] for name in counts}))
    assert len(splits.train) + len(splits.val) == sum(counts.values())
    assert "splits" not in " ".join(splits.warnings)


def test_splits_within_classes_are_said_to_be_used_alike(make) -> None:
    root = make({f"{label}/{name}": 12 for label in ("ant", "bee") for name in ("train", "val")})
    splits = load_splits(root, None, None)
    assert splits.labels == ("ant", "bee")
    assert any("holds train, val: their photos are used alike" in line for line in splits.warnings)


@pytest.mark.parametrize(
    "counts",
    [
        split("fold1", 10) | split("fold2", 10) | split("fold3", 10),
        split("tomato", 11, ("healthy", "ill")) | split("potato", 9, ("healthy", "ill")),
        split("train_a", 12) | split("train_b", 8),
        split("val", 12) | split("test", 8),
        split("train", 12) | split("val", 8) | split("dev", 8),
        split("train", 9) | split("car", 9) | split("bus", 9),
    ],
    ids=lambda counts: " ".join(counts),
)
def test_what_cannot_be_told_is_refused_with_advice_that_works(
    make, counts: dict[str, int]
) -> None:
    root = make(counts)
    with pytest.raises(UsageError, match="their roles are ambiguous") as caught:
        load_splits(root, None, None)
    words = shlex.split((caught.value.hint or "").partition(", say")[0])
    assert words[::2] == ["--data", "--val"]
    assert len(load_splits(words[1], words[3], None).labels) == 2
    if "if they are classes" not in (caught.value.hint or ""):
        assert all(role_of(path.name) for path in root.iterdir())
        return
    for path in root.iterdir():
        for inner in list(path.iterdir()):
            inner.rename(path / f"{path.name}-{inner.name}")
    assert load_splits(root, None, None).labels == tuple(sorted(p.name for p in root.iterdir()))


def test_who_measures_is_not_told_to_validate(make) -> None:
    root = make(split("fold1", 10) | split("fold2", 10))
    with pytest.raises(UsageError, match="their roles are ambiguous") as caught:
        list_to_measure(root)
    assert caught.value.hint == "name the one of its folders whose photos it shall answer"


def test_splits_without_classes_are_refused(make) -> None:
    with pytest.raises(UsageError, match="train, val, which look like splits"):
        load_splits(make({"train": 12, "val": 12}), None, None)
    tiny = make(split("train", 12) | {"val/images": 5, "test/images": 5}, "tiny")
    assert load_splits(tiny, None, None).labels == ("a", "b")
    only_test = make(split("test", 12) | {"val": 5}, "only")
    with pytest.raises(UsageError, match="look like splits") as caught:
        load_splits(only_test, None, None)
    assert caught.value.hint == f"--data {only_test / 'test'}"


def test_other_options_take_their_own_split(make) -> None:
    root = make(split("train", 12) | split("val", 5) | split("test", 4))
    splits = load_splits(root, root, root)
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (24, 10, 24)
    other = make(split("ab", 20), "other")
    assert len(load_splits(other / "ab", root, None).val) == 10
    assert len(list_to_measure(root).files) == 10
    assert len(list_to_measure(other / "ab").files) == 40


def test_validation_photos_in_a_folder_of_their_own(make) -> None:
    root = make(split("data", 12) | split("val/archive", 5) | {"one/a/x": 3, "one/a/y": 3})
    assert len(load_splits(root / "data", root / "val", None).val) == 10
    assert load_splits(root / "data", root / "one", None).val.labels.tolist() == [0] * 6


def test_a_list_is_looked_up_in_the_folder_that_was_given(make, tmp_path: Path) -> None:
    root = make(split("train", 12) | split("val", 5))
    (tmp_path / "list.txt").write_text(
        "\n".join(str(path.relative_to(root)) for path in root.glob("val/*/*.png"))
    )
    assert len(load_splits(root, tmp_path / "list.txt", None).val) == 10


def test_the_key_sees_the_split_that_is_used(make) -> None:
    root = make(split("train", 12) | split("val", 5) | split("test", 5))
    before = fingerprint(root, None, None)
    (next((root / "test").glob("*/*.png"))).unlink()
    assert fingerprint(root, None, None) == before
    (next((root / "val").glob("*/*.png"))).unlink()
    assert fingerprint(root, None, None) != before
    assert fingerprint(make(split("one", 9) | split("two", 9), "alike"), None, None, classes=False)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Training", TRAIN),
        ("trainval", TRAIN),
        ("images_TRAIN-2", TRAIN),
        ("trainValidation", TRAIN),
        ("valid", VAL),
        ("Dev", VAL),
        ("testing", TEST),
        ("Unlabelled", EXTRA),
        ("valley", ""),
        ("trainer", ""),
        ("contest", ""),
        ("42", ""),
    ],
)
def test_roles(name: str, role: str) -> None:
    assert role_of(name) == role


def test_symbolic_links_in_a_circle(make) -> None:
    root = make({"ant": 20, "bee": 20})
    (root / "ant" / "loop").symlink_to(root)
    assert find_split_folders(root) is None
    assert load_splits(root, None, None).labels == ("ant", "bee")


@needs("shared", CASES.is_dir())
@pytest.mark.parametrize(
    ("name", "labels", "train", "val"),
    [
        ("kaggle_training_testing", ("glioma", "meningioma", "notumor"), "Training", "Testing"),
        ("train_val_test_extra", ("a", "b"), "train", "val"),
    ],
)
def test_folders_of_users(name: str, labels: tuple[str, ...], train: str, val: str) -> None:
    splits = load_splits(CASES / name, None, None)
    assert splits.labels == labels
    assert parts(splits, CASES / name) == (train, val)


class AnyPath:
    """A path of another library."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_anything_that_is_a_path_is_taken(make) -> None:
    root = make(split("train", 12) | split("val", 12))
    for kind in (str, Path, AnyPath):
        splits = load_splits(kind(root), kind(root / "val"), kind(root / "train"))
        assert (len(splits.train), len(splits.val), len(splits.calibration)) == (24, 24, 24)
        assert fingerprint(kind(root), None, None)
        assert len(list_to_measure(kind(root)).files) == 24
