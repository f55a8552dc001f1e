"""Folders, lists and the built-in dataset become splits; what cannot be used says why."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import places
import pytest
from PIL import Image
from prerequisites import needs

from edgekit.data.splits import Splits, builtin_splits, fingerprint, load_splits
from edgekit.errors import UsageError

SHARED = places.SHARED / "data"
needs_shared = needs("shared", SHARED.is_dir())


def write_photo(path: Path, content: int) -> Path:
    """Writes a small photo whose bytes differ for each ``content``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    color = (content % 256, content // 256 % 256, 99)
    Image.new("RGB", (8, 8), color).save(path, "BMP" if path.suffix == ".bmp" else "PNG")
    return path


def write_folder(root: Path, classes: Iterable[str], count: int, first: int = 0) -> Path:
    """Writes ``count`` photos a class, all different."""
    for c, name in enumerate(classes):
        for i in range(count):
            write_photo(root / name / f"{i:03d}.png", first + c * count + i)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of 60 photos."""
    return write_folder(tmp_path / "photos", ("ant", "bee", "cat"), 60)


def names_and_labels(photo_set: object) -> list[tuple[str, int]]:
    names, labels = photo_set.names, photo_set.labels  # type: ignore[attr-defined]
    return list(zip(names, labels.tolist(), strict=True))


def test_folder_of_classes(photos: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    splits = load_splits(photos, None, None, progress=lambda *call: calls.append(call))
    assert splits.labels == ("ant", "bee", "cat")
    assert (len(splits.train), len(splits.val)) == (144, 36)
    assert np.bincount(splits.val.labels).tolist() == [12, 12, 12]
    assert not set(splits.train.names) & set(splits.val.names)
    for name, label in names_and_labels(splits.train) + names_and_labels(splits.val):
        assert splits.labels[label] == name.split("/")[0]
    assert calls == [("scan", i, 180) for i in range(1, 181)]
    assert splits.warnings == ()
    assert splits.unreadable == ()
    assert not splits.builtin
    assert str(photos) in splits.source
    image = splits.train.load(3)
    assert (image.mode, image.size) == ("RGB", (8, 8))


def test_classes_are_sorted_and_walked_recursively(tmp_path: Path) -> None:
    write_folder(tmp_path, ("b", "a/deep/er", "a"), 10)
    write_folder(tmp_path, (".hidden", "a/.hidden"), 10)
    write_photo(tmp_path / "a" / ".hidden.png", 1)
    splits = load_splits(tmp_path, None, None)
    assert splits.labels == ("a", "b")
    assert len(splits.train) + len(splits.val) == 30
    assert {name.split("/")[0] for name, label in names_and_labels(splits.train) if label} == {"b"}


def test_split_is_repeated_and_stable_when_photos_are_added(photos: Path) -> None:
    before = load_splits(photos, None, None)
    again = load_splits(photos, None, None)
    assert before.val.digest() == again.val.digest()
    assert before.calibration.digest() == again.calibration.digest()
    for i in range(5):
        write_photo(photos / "bee" / f"new{i}.png", 5000 + i)
    after = load_splits(photos, None, None)
    assert len(set(before.val.names) - set(after.val.names)) <= 2


def test_split_keeps_a_photo_of_each_class_for_training(tmp_path: Path) -> None:
    write_folder(tmp_path, ("many",), 20)
    write_photo(tmp_path / "one" / "x.png", 900)
    splits = load_splits(tmp_path, None, None)
    assert "one/x.png" in splits.train.names
    assert "1 of the 2 classes have no validation photo" in splits.warnings


def test_explicit_val_is_taken_out_of_train_by_content(photos: Path, tmp_path: Path) -> None:
    val = tmp_path / "val"
    for name in ("ant", "bee"):
        for i in range(8):
            copy = val / name / f"copy{i}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((photos / name / f"{i:03d}.png").read_bytes())
    splits = load_splits(photos, val, None)
    assert len(splits.val) == 16
    assert len(splits.train) == 180 - 16
    assert not {"ant/000.png", "bee/007.png"} & set(splits.train.names)
    assert any("16 of 180" in line for line in splits.warnings)
    assert "1 of the 3 classes have no validation photo" in splits.warnings


def test_overlap_never_empties_a_class(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", (f"c{i:02d}" for i in range(30)), 1)
    chosen = tmp_path / "val.txt"
    chosen.write_text("".join(f"c{i:02d}/000.png\n" for i in range(10)))
    splits = load_splits(data, chosen, None)
    assert len(splits.train) == 30
    assert len(splits.val) == 10
    assert any("10 classes have no others" in line for line in splits.warnings)
    assert not set(splits.calibration.names) & set(splits.val.names)


LISTS = {
    "plain": "{0}ant/{1:03d}.png\n",
    "crlf": "{0}ant/{1:03d}.png\r\n\r\n",
    "comments": "# a comment\n  {0}ant/{1:03d}.png  \n\n",
    "dots": "{0}./x/../ant/{1:03d}.png\n",
}


@pytest.mark.parametrize("style", LISTS)
@pytest.mark.parametrize("absolute", [False, True])
def test_lists(photos: Path, style: str, absolute: bool) -> None:
    (photos / "x").mkdir()
    start = f"{photos}/" if absolute else ""
    lines = "".join(LISTS[style].format(start, i) for i in range(40))
    chosen = photos / "list.txt"
    chosen.write_bytes(("\ufeff" + lines + "bee/001.png").encode())
    splits = load_splits(chosen, None, None, calibration_count=20)
    assert splits.labels == ("ant", "bee")
    assert len(splits.train) + len(splits.val) == 41
    assert {"ant/000.png", "bee/001.png"} <= {*splits.train.names, *splits.val.names}


def test_lists_are_looked_up_beside_them_and_then_in_data(photos: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "lists" / "val.txt"
    write_photo(chosen.parent / "ant" / "000.png", 7777)  # hides the one in --data
    chosen.write_text("ant/000.png\nbee/001.png\nbee/001.png\n")
    splits = load_splits(photos, chosen, None)
    assert names_and_labels(splits.val) == [("ant/000.png", 0), ("bee/001.png", 1)]
    assert splits.val.load(0).getpixel((0, 0)) == (7777 % 256, 7777 // 256, 99)
    assert "ant/000.png" in splits.train.names
    assert "bee/001.png" not in splits.train.names


@pytest.mark.parametrize("count", [20, 101, 144, 1000])
def test_calibration_is_spread_over_training_classes(photos: Path, count: int) -> None:
    splits = load_splits(photos, None, None, calibration_count=count)
    assert len(splits.calibration) == min(count, 144)
    per_class = np.bincount(splits.calibration.labels)
    assert max(per_class) - min(per_class) <= 1
    assert set(splits.calibration.names) <= set(splits.train.names)
    assert bool(splits.warnings) == (count < 100)


def test_calibration_depends_on_the_seed(photos: Path) -> None:
    chosen = [
        load_splits(photos, None, None, calibration_count=20, seed=seed).calibration.names
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_calibration_from_a_flat_folder(photos: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for i in range(12):
        write_photo(flat / f"{i}.bmp", 9000 + i)
    splits = load_splits(photos, None, flat)
    assert len(splits.calibration) == 12
    assert set(splits.calibration.labels.tolist()) == {-1}
    assert any(line.startswith("12 calibration photos are few") for line in splits.warnings)


def test_calibration_never_uses_validation_photos(photos: Path) -> None:
    val = load_splits(photos, None, None).val
    chosen = photos / "calibration.txt"
    chosen.write_text("\n".join([*val.names[:5], *(f"ant/{i:03d}.png" for i in range(60))]))
    splits = load_splits(photos, None, chosen)
    assert not set(splits.calibration.names) & set(val.names)
    assert any("are validation photos and are left out" in line for line in splits.warnings)


def test_unreadable_photos_are_counted_named_and_skipped(photos: Path) -> None:
    (photos / "ant" / "000.png").write_bytes(b"")
    (photos / "bee" / "gone.png").symlink_to(photos / "nowhere.png")
    splits = load_splits(photos, None, None)
    assert dict(splits.unreadable) == {
        "ant/000.png": "the file is empty",
        "bee/gone.png": "No such file or directory",
    }
    assert len(splits.train) + len(splits.val) == 179


@pytest.mark.parametrize(("bad", "stops"), [(9, False), (10, True)])  # of 180: 5 % and more
def test_too_many_unreadable_photos_stop_the_run(photos: Path, bad: int, stops: bool) -> None:
    for i in range(bad):
        path = photos / "cat" / f"{i:03d}.png"
        path.write_bytes(path.read_bytes()[:-30])
    if not stops:
        assert len(load_splits(photos, None, None).unreadable) == bad
        return
    with pytest.raises(UsageError, match=r"10 of the 180 photos .* cannot be read") as caught:
        load_splits(photos, None, None)
    assert "cat/000.png: the file is truncated" in (caught.value.cause or "")


def test_missing_entries_of_a_list_are_unreadable(photos: Path) -> None:
    chosen = photos / "val.txt"
    chosen.write_text("".join(f"ant/{i:03d}.png\n" for i in range(40)) + "ant/none.png\n")
    splits = load_splits(photos, chosen, None)
    assert splits.unreadable == (("ant/none.png", "No such file or directory"),)


def test_symbolic_links_are_followed_once(photos: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("ant", "bee"):
        (linked / name).symlink_to(photos / name)
    (photos / "ant" / "loop").symlink_to(photos)
    splits = load_splits(linked, None, None)
    assert splits.labels == ("ant", "bee")
    assert {"bee/001.png", "ant/001.png"} <= {*splits.train.names, *splits.val.names}


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", ("a", "b"), 20)
    odd = os.fsdecode(b"caf\xe9 %41.png")
    try:
        os.rename(data / "a" / "000.png", data / "a" / odd)
    except OSError:
        pytest.skip("this file system refuses such names")
    (data / "all.txt").write_bytes(b"b/001.png\n" * 3 + b"a/caf\xe9 %41.png\n")
    splits = load_splits(data, data / "all.txt", None)
    assert splits.val.names == (r"a/caf\xe9 %41.png", "b/001.png")
    text = json.dumps(splits.to_dict(), ensure_ascii=False).encode()  # fails on a lone surrogate
    again = Splits.from_dict(json.loads(text))
    assert again.val.load(0).size == (8, 8)
    assert fingerprint(data, data / "all.txt", None)


def test_what_is_left_out_is_said(photos: Path) -> None:
    write_photo(photos / "stray.png", 4000)
    (photos / "notes").mkdir()
    (photos / "ant" / "old.gif").write_bytes(b"GIF")
    (photos / "ant" / "readme.txt").write_text("no photo")
    warnings = "\n".join(load_splits(photos, None, None).warnings)
    assert f"1 images in {photos} are left out: .gif" in warnings
    assert "in no class folder" in warnings
    assert "no classes: notes" in warnings
    assert "txt" not in warnings


def test_json_round_trip(photos: Path, tmp_path: Path) -> None:
    flat = write_folder(tmp_path / "more", (f"{i}" for i in range(12)), 1, first=3000)
    (photos / "ant" / "000.png").write_bytes(b"")
    splits = load_splits(photos, None, flat)
    again = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    for name in ("train", "val", "calibration"):
        before, after = getattr(splits, name), getattr(again, name)
        assert after.digest() == before.digest()
        assert names_and_labels(after) == names_and_labels(before)
        assert after.load(0).tobytes() == before.load(0).tobytes()
    for name in ("labels", "source", "builtin", "unreadable", "warnings"):
        assert getattr(again, name) == getattr(splits, name)


@pytest.mark.parametrize("record", [{}, {"schema_version": 99}, {"schema_version": 1, "train": 3}])
def test_from_dict_refuses_nonsense(record: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Splits.from_dict(record)


def test_digest_and_subset(photos: Path) -> None:
    train = load_splits(photos, None, None).train
    part = train.subset([5, 2])
    assert part.names == (train.names[5], train.names[2])
    assert part.labels.tolist() == [train.labels[5], train.labels[2]]
    assert part.labels.dtype == np.int64
    assert part.load(1).tobytes() == train.load(2).tobytes()
    assert part.digest() == train.subset([5, 2]).digest() != train.subset([2, 5]).digest()


def test_a_photo_that_vanishes_after_the_scan(photos: Path) -> None:
    train = load_splits(photos, None, None).train
    (photos / train.names[0]).unlink()
    with pytest.raises(UsageError, match="cannot be read any more"):
        train.load(0)


def test_fingerprint_sees_what_changes(photos: Path, tmp_path: Path) -> None:
    chosen = photos / "val.txt"
    chosen.write_text("ant/001.png\n")
    seen = [fingerprint(photos, chosen, None)]
    assert fingerprint(photos, chosen, None) == seen[0]
    chosen.write_text("ant/002.png\n")
    seen.append(fingerprint(photos, chosen, None))
    os.utime(photos / "bee" / "004.png", ns=(1, 1))
    seen.append(fingerprint(photos, chosen, None))
    (photos / "bee" / "004.png").rename(photos / "bee" / "zzz.png")
    seen.append(fingerprint(photos, chosen, None))
    seen.append(fingerprint(photos, None, None))
    seen.append(fingerprint(photos, None, photos))
    seen.append(fingerprint(None, None, None))
    write_photo(photos / "stray.png", 4000)
    assert fingerprint(photos, None, photos) != seen[-2]
    assert (
        fingerprint(photos, None, None)
        == seen[-3]
        != fingerprint(photos, None, None, classes=False)
    )
    assert len(set(seen)) == len(seen)


def test_builtin_dataset() -> None:
    splits = builtin_splits(256, 3, 16)
    assert splits.builtin
    assert splits.source == "built-in shapes (seed 3)"
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (2000, 1000, 256)
    assert set(splits.calibration.names) <= set(splits.train.names)
    again = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert again.calibration.digest() == splits.calibration.digest()
    assert again.calibration.load(7).tobytes() == splits.calibration.load(7).tobytes()


def test_the_record_and_the_key_of_files_stay_what_they_were(tmp_path: Path) -> None:
    """Finished stages of earlier runs are found by them."""
    data = write_folder(tmp_path, ("a", "b"), 15)
    record = load_splits(data, None, None).to_dict()["val"]
    assert list(record) == ["kind", "root", "paths", "names", "labels", "sha256"]
    assert record["root"] == str(data)
    assert record["paths"] == record["names"]
    digest = hashlib.sha256(b"1 1\n" + f"--data {data}\n".encode())
    for path in sorted(data.glob("*/*")):
        stat = path.stat()
        state = f"{stat.st_size} {stat.st_mtime_ns}"
        digest.update(f"{path}\0{path.parent.name}\0{state}\n".encode())
    assert fingerprint(data, None, None) == digest.hexdigest()


def test_photos_are_loaded_smaller_where_that_is_allowed(tmp_path: Path) -> None:
    for i in range(30):
        path = tmp_path / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 40), (i, i, i)).save(path)
    train = load_splits(tmp_path, None, None).train
    assert train.load(0, lambda stored: 4).size == (16, 10)
    assert train.load(0).size == (64, 40)


def test_many_classes(tmp_path: Path) -> None:
    data = write_folder(tmp_path, (f"class{i:04d}" for i in range(400)), 2)
    splits = load_splits(data, None, None)
    assert len(splits.labels) == 400
    assert (len(splits.train), len(splits.val)) == (400, 400)
    assert len(set(splits.calibration.labels.tolist())) == 256


def make_bad(root: Path, case: str) -> tuple[Path | None, Path | None, Path | None]:
    """Writes one kind of bad input; returns --data, --val and --calibration."""
    data = write_folder(root / "data", ("a", "b"), 20)
    other = root / "other"
    if case == "empty":
        other.mkdir()
    elif case == "texts":
        for i in range(3):
            (other / "a").mkdir(parents=True, exist_ok=True)
            (other / "a" / f"{i}.txt").write_text("no photo")
    elif case == "one class":
        write_folder(other, ("a",), 20)
    elif case == "flat":
        write_photo(other / "x.png", 1)
    elif case == "splits":
        write_folder(other, ("train", "val"), 3)
    elif case == "photo":
        return write_photo(root / "x.png", 1), None, None
    elif case == "empty list":
        other.write_text("# nothing\n\n")
    elif case == "missing list":
        other.write_text("a/1.png\nb/2.png\n")
    elif case == "single photos":
        write_folder(other, ("a", "b", "c"), 1)
    elif case == "small":
        write_folder(other, ("a", "b"), 5)
    elif case == "unknown class":
        return data, write_folder(other, ("b", "wolf"), 3, first=500), None
    elif case == "three":
        return data, None, write_folder(other, ("a",), 3, first=500)
    elif case == "val again":
        return data, data, None
    elif case == "val alone":
        return None, data, None
    return other, None, None


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", r"--data .*other does not exist"),
        ("empty", "is empty"),
        ("texts", r"holds no photo\ncause: its 3 files .*\.txt \(3\)"),
        ("one class", r"one class only \('a'\)"),
        ("flat", "1 photos, but no class folders"),
        ("splits", "train, val, which look like splits"),
        ("photo", "neither a folder nor a text file"),
        ("empty list", "lists no photo"),
        ("missing list", r"none of the 2 photos .* exists\ncause: a/1.png was looked for in"),
        ("single photos", r"too few photos to hold some back[^$]*give --val"),
        ("small", "the training set has 8 photos only"),
        ("unknown class", r"--val has 1 classes that --data has not: wolf"),
        ("three", "3 calibration photos are too few"),
        ("val again", "0 calibration photos are too few"),
        ("val alone", "given without --data"),
    ],
)
def test_bad_input(tmp_path: Path, case: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_splits(*make_bad(tmp_path, case))
    assert caught.value.hint


def test_few_calibration_photos_asked_for(photos: Path) -> None:
    with pytest.raises(UsageError, match="3 calibration photos are too few"):
        load_splits(photos, None, None, calibration_count=3)


@pytest.mark.slow  # reads real photos
@needs_shared
def test_shared_lists() -> None:
    splits = load_splits(
        SHARED / "imagenet-sample",
        SHARED / "imagenet-sample-eval.txt",
        SHARED / "imagenet-sample-calibration.txt",
    )
    assert (len(splits.train), len(splits.val), len(splits.calibration)) == (1000, 800, 200)
    folders = sorted(path.name for path in (SHARED / "imagenet-sample").iterdir())
    assert splits.labels == tuple(folders)
    assert [splits.labels[i] for i in splits.val.labels] == [
        n.split("/")[0] for n in splits.val.names
    ]
    assert splits.unreadable == ()


def test_a_list_may_have_the_other_form_of_a_name(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", ("cafe\u0301", "bar"), 20)  # as macOS writes it
    chosen = tmp_path / "val.txt"
    chosen.write_text("caf\xe9/001.png\nbar/001.png\n")
    splits = load_splits(data, chosen, None)
    assert splits.labels == ("bar", "caf\xe9")
    assert splits.val.labels.tolist() == [0, 1]
    assert splits.unreadable == ()


def test_a_list_is_broken_at_line_breaks_alone(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", ("a", "b"), 20)
    (data / "a" / "000.png").rename(data / "a" / "x\u2028y.png")
    chosen = tmp_path / "val.txt"
    chosen.write_text("a/x\u2028y.png\nb/001.png\n", encoding="utf-8")
    assert len(load_splits(data, chosen, None).val) == 2
