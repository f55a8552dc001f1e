"""Of a huge set, photos are known by their size and end, and decoded as training comes to them."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation.augment import Augmentation
from edgekit.data.batches import MOST_IN_A_ROW, Part, train_batches
from edgekit.data.folders import list_photos
from edgekit.data.photo_files import HashedPhotos, UnreadablePhotoError
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.scan import check_all, read_listings, skim
from edgekit.data.splits import Splits, load_splits
from edgekit.errors import UsageError

INPUT = Preprocessing(8, (0,) * 3, (1,) * 3, ("a", "b"), crop_fraction=1.0)
DAMAGED = b"\x89PNG, and no more than that"


def photo(content: int) -> bytes:
    """A small photo whose bytes differ for each ``content``."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (content, 0, 99)).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root: Path, count: int = 20, damaged: tuple[int, ...] = ()) -> Path:
    for number in range(count):
        path = root / "ab"[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DAMAGED if number in damaged else photo(number))
    return root


def in_shard(folder: Path) -> Path:
    path = folder.parent / f"{folder.name}.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("a", "b"):
            tar.add(folder / name, name)
    return path


FORMS: list[Callable[[Path], Path]] = [lambda folder: folder, in_shard]


@pytest.mark.parametrize("form", FORMS)
def test_huge_sets_are_divided_as_others(tmp_path: Path, form: Callable[[Path], Path]) -> None:
    data = form(write_folder(tmp_path / "data", 60))
    val = form(write_folder(tmp_path / "val", 10))
    every = load_splits(data, val, None)
    some = load_splits(data, val, None, check_up_to=59)
    for name in ("train", "val", "calibration"):
        one, other = getattr(every, name), getattr(some, name)
        assert one.names == tuple(other.names)
        assert one.labels.tolist() == other.labels.tolist()
    assert len(some.train) == 50  # the others are in --val
    again = Splits.from_dict(json.loads(json.dumps(some.to_dict())))
    for splits in (some, again):
        checked = [getattr(splits, name).checked for name in ("train", "val", "calibration")]
        assert checked == [False, True, True]
    assert again.train.digest() == some.train.digest()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", [None, (sys.executable, "-c", "")])
def test_many_photos_are_read_in_processes_as_few_are_in_threads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: Callable[[Path], Path],
    reader: tuple[str, ...] | None,
) -> None:
    data = form(write_folder(tmp_path / "data ü", 40, damaged=(7,)))
    in_threads = load_splits(data, None, None)
    monkeypatch.setattr("edgekit.data.scan.WORTH_PROCESSES", 1)
    monkeypatch.setattr("edgekit.data.scan._PART", 8)
    monkeypatch.setattr("edgekit.system.workers.usable_cores", lambda: 2)
    if reader:
        monkeypatch.setattr("edgekit.data.scan.READER", reader)
    else:  # nothing is left to the threads
        monkeypatch.setattr("edgekit.data.scan.read", None)
    told: list[tuple[str, int, int]] = []
    in_processes = load_splits(data, None, None, progress=lambda *one: told.append(one))
    assert in_processes.to_dict() == in_threads.to_dict()
    assert len(in_processes.unreadable) == 1
    assert told[-1] == ("scan", 40, 40)


def test_what_calibrates_and_validates_is_decoded(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", 60, damaged=(0,))
    val = write_folder(tmp_path / "val", 40, damaged=(3,))
    splits = load_splits(data, val, None, check_up_to=10)
    assert [name for name, _ in splits.unreadable] == ["b/003.png", "a/000.png"]
    assert "a/000.png" in splits.train.names
    for photos in (splits.val, splits.calibration):
        for index in range(len(photos)):
            photos.load(index)


def test_too_many_damaged_validation_photos_stop_the_run(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", 60)
    val = write_folder(tmp_path / "val", 20, damaged=(0, 1))
    with pytest.raises(UsageError, match="2 of the 20 photos of --val"):
        load_splits(data, val, None, check_up_to=10)


def test_the_same_end_of_another_length_is_another_photo(tmp_path: Path) -> None:
    long = bytes(range(256)) * 40
    for name, contents in {"a": long, "b": b"x" + long, "c": b"y" + long[1:], "e": b""}.items():
        (tmp_path / f"{name}.png").write_bytes(contents)
    files = list_photos(tmp_path, "--data", classes=False).files
    a, b, c, e = skim(files).values()
    assert a.sha256 != b.sha256
    assert a.sha256 == c.sha256  # what precedes the last 4 KiB is not read
    assert e.problem == "the file is empty"


def test_empty_photos_of_huge_sets_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", 60)
    (folder / "a" / "000.png").write_bytes(b"")
    val = write_folder(tmp_path / "val", 10)
    for data in (folder, in_shard(folder)):
        splits = load_splits(data, in_shard(val), None, check_up_to=10)
        assert splits.unreadable == (("a/000.png", "the file is empty"),)
        assert "a/000.png" not in splits.train.names
        assert len(splits.train) == 59 - 9


def test_a_photo_in_two_listings_is_read_once(tmp_path: Path) -> None:
    listing = list_photos(write_folder(tmp_path / "x", 20), "--data")
    done: list[int] = []
    read = read_listings(
        {"--data": listing, "--val": listing}, lambda what, count, total: done.append(total)
    )
    assert set(done) == {20}
    assert read["--data"].hashes == read["--val"].hashes


def skimmed(root: Path) -> HashedPhotos:
    listings = {"--data": list_photos(root, "--data")}
    return read_listings(listings, in_full=False)["--data"].photo_set(("a", "b"))


def batches(photos: HashedPhotos, skipped: list[str] | None = None, **given: int) -> list[bytes]:
    found = train_batches(
        photos,
        INPUT,
        4,
        Part(0, 0, **given),  # type: ignore[arg-type]
        augmentation=Augmentation(),
        skipped=None if skipped is None else lambda error: skipped.append(str(error.cause)),
    )
    return [b"".join(array.tobytes() for array in batch) for batch in found]


def test_training_takes_the_next_photo_instead_of_a_damaged_one(tmp_path: Path) -> None:
    whole, part = (
        write_folder(tmp_path / name, 20, damaged) for name, damaged in (("x", ()), ("y", (6, 8)))
    )
    skipped: list[str] = []
    plain, other = batches(skimmed(whole)), batches(skimmed(part), skipped)
    assert len(skipped) == 2
    assert 1 <= sum(a != b for a, b in zip(plain, other, strict=True)) <= 2
    assert batches(skimmed(part), start=2) == other[2:]
    indices = np.concatenate(
        [batch.indices for batch in train_batches(
            skimmed(part), INPUT, 4, Part(0, 0), augmentation=Augmentation()
        )]
    )  # fmt: skip
    # Sorted by class, 6 and 8 are the photos 3 and 4; what stands for both is the next one.
    assert sorted(indices) == [0, 1, 2, 5, 5, 5, *range(6, 20)]


def test_a_disk_that_is_gone_ends_training(tmp_path: Path) -> None:
    photos = skimmed(write_folder(tmp_path / "x", 20))
    shutil.rmtree(tmp_path / "x")
    assert MOST_IN_A_ROW < 20
    with pytest.raises(UnreadablePhotoError):
        batches(photos)


def test_checking_all_keeps_what_was_checked(tmp_path: Path) -> None:
    listings = {"--data": list_photos(write_folder(tmp_path / "x", 20), "--data")}
    photos = read_listings(listings)["--data"].photo_set(("a", "b"))
    assert check_all(photos, "--val") == (photos, [])
