"""Photos in WebDataset shards are those of the same folders, and broken shards say why not."""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import sys
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.photo_files import HashedPhotos, Listing
from edgekit.data.shards.listing import find_shards, list_shards
from edgekit.data.shards.names import expand_braces
from edgekit.data.shards.photos import ShardPhotos
from edgekit.data.splits import Splits, fingerprint, load_splits
from edgekit.errors import UsageError


def photo(content: int, kind: str = "PNG") -> bytes:
    """A small photo whose bytes differ for each ``content``."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (content % 256, content // 256, 99)).save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def samples(classes: Iterable[str], count: int, first: int = 0) -> dict[str, bytes]:
    """Samples of a photo and a class each, all different."""
    members: dict[str, bytes] = {}
    for c, label in enumerate(classes):
        for i in range(count):
            number = first + c * count + i
            members |= {f"{number:06d}.png": photo(number), f"{number:06d}.cls": label.encode()}
    return members


def index(path: Path, **options: bool) -> Listing:
    shards = find_shards(path, "--data")
    assert shards is not None
    return list_shards(shards, path, "--data", **options)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three class folders of 20 photos."""
    root = tmp_path / "folders"
    for c, name in enumerate(("ant", "bee", "cat")):
        (root / name).mkdir(parents=True)
        for i in range(20):
            (root / name / f"{i:03d}.png").write_bytes(photo(c * 20 + i))
    return root


@pytest.fixture
def shards(tmp_path: Path, folders: Path) -> Path:
    """The same photos in three shards, in another order, the class by the folder."""
    root = tmp_path / "shards"
    files = sorted(folders.glob("*/*.png"), key=lambda path: path.name[::-1])
    for k in range(3):
        members = {f"./{f.relative_to(folders)}": f.read_bytes() for f in files[k::3]}
        write_tar(root / f"train-{k:04d}.tar", members)
    return root


def assert_equal(first: Splits, second: Splits) -> None:
    assert first.labels == second.labels
    for name in ("train", "val", "calibration"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.names == other.names
        assert one.labels.tolist() == other.labels.tolist()
        assert one.digest() == other.digest()
        for i in range(0, len(one), 7):
            assert one.load(i).tobytes() == other.load(i).tobytes()


@pytest.mark.parametrize("how", ["folder", "braces", "list", "str"])
def test_shards_are_split_as_folders_are(folders: Path, shards: Path, how: str) -> None:
    data: Path | str = shards
    if how == "braces":
        data = shards / "train-{0000..0002}.tar"
    elif how == "list":
        data = shards.parent / "all.txt"
        data.write_text("# three\nshards/train-{0000..0001}.tar\nshards/train-0002.tar\n")
    elif how == "str":
        data = f"{shards}/train-000{{0,1,2}}.tar"
    splits = load_splits(data, None, None, calibration_count=20)
    assert_equal(splits, load_splits(folders, None, None, calibration_count=20))
    assert str(data) in splits.source
    assert_equal(splits, Splits.from_dict(json.loads(json.dumps(splits.to_dict()))))
    assert fingerprint(data, None, None) == fingerprint(data, None, None)


def test_kinds_mix_and_the_overlap_is_known_by_content(folders: Path, shards: Path) -> None:
    val = write_tar(shards.parent / "val.tar", {f"bee/v{i}.png": photo(20 + i) for i in range(5)})
    splits = load_splits(folders, val, shards / "train-0000.tar")
    assert len(splits.train) == 55
    assert len(splits.val) == 5
    assert any("5 of 60" in line for line in splits.warnings)
    assert len(splits.calibration) in range(15, 21)
    assert isinstance(splits.val, HashedPhotos)
    assert not set(splits.val.hashes) & set(splits.calibration.hashes)  # type: ignore[attr-defined]
    again = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert again.val.load(2).tobytes() == splits.val.load(2).tobytes()


def test_a_folder_with_photos_beside_its_shards_is_one_of_photos(folders: Path) -> None:
    write_tar(folders / "x.tar", samples("ab", 2))
    assert find_shards(folders, "--data") is None


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", samples([f" {i:02d}\n" for i in range(12)], 3))
    splits = load_splits(path, None, None)
    assert splits.labels == tuple(str(i) for i in range(12))
    chosen = splits.train.names.index(next(n for n in splits.train.names if n > "000030"))
    assert splits.train.labels[chosen] == 10
    mixed = write_tar(tmp_path / "y.tar", samples(("10", "9", "wolf"), 8))
    assert load_splits(mixed, None, None).labels == ("10", "9", "wolf")


@pytest.mark.parametrize(
    ("record", "label"),
    [({"label": 3}, "3"), ({"class": "wolf", "id": 1}, "wolf"), ({"cls": "07"}, "7")],
)
def test_classes_in_json(tmp_path: Path, record: dict[str, object], label: str) -> None:
    path = write_tar(tmp_path / "x.tar", {"a/1.json": json.dumps(record).encode(), "a/1.JPG": b""})
    assert [(file.name, file.label) for file in index(path).files] == [("a/1.JPG", label)]


@pytest.mark.parametrize("other", [b"{", b"[1]", b'{"caption": "x"}', b'{"label": true}'])
def test_json_without_a_class_leaves_it_to_the_folder(tmp_path: Path, other: bytes) -> None:
    path = write_tar(tmp_path / "x.tar", {"photos/ant/1.png": b"", "photos/ant/1.json": other})
    assert [file.label for file in index(path).files] == ["ant"]


def test_keys_end_at_the_first_dot_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    members = {"v1.0/a.png": b"", "v1.0/a.seg.png": b"", "v1.0/a.cls": b"x", "v1.0/._b.png": b""}
    listing = index(write_tar(tmp_path / "x.tar", members))
    assert [(file.name, file.label) for file in listing.files] == [("v1.0/a.png", "x")]
    assert listing.warnings == ()


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    members = [("1.cls", b"a"), ("2.png", b""), ("3.png", b""), ("3.cls", b"a"), ("4.txt", b"")]
    path = write_tar(tmp_path / "x.tar", members)
    listing = index(path)
    assert [file.name for file in listing.files] == ["3.png"]
    assert listing.warnings == (
        f"2 samples of {path} have no photo, the first is 1",
        f"1 photos of {path} have no class, the first is 2.png",
    )
    assert [file.label for file in index(path, classes=False).files] == ["", "a"]


def test_odd_names(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    names = [f"a/{'long' * 50} {odd} ü %41 {i}" for i in range(15)]
    members = {f"{name}.png": photo(i) for i, name in enumerate(names)}
    members |= {f"b/{i}.png": photo(100 + i) for i in range(15)}
    path = write_tar(tmp_path / "ödd {x,y} name.tar", members)
    splits = load_splits(path, None, None)
    assert splits.labels == ("a", "b")
    text = json.dumps(splits.to_dict(), ensure_ascii=False).encode()  # fails on a lone surrogate
    assert_equal(splits, Splits.from_dict(json.loads(text)))
    assert any(r"caf\xe9 ü %41" in name for name in splits.train.names)


def test_unreadable_photos_are_counted_named_and_skipped(tmp_path: Path) -> None:
    members = samples("ab", 15) | {"x.png": photo(999)[:-30], "x.cls": b"a"}
    splits = load_splits(write_tar(tmp_path / "x.tar", members), None, None)
    assert splits.unreadable == (("x.png", "the file is truncated or damaged"),)
    assert len(splits.train) + len(splits.val) == 30


def test_threads_read_at_once_from_many_shards(tmp_path: Path) -> None:
    for k in range(60):
        write_tar(tmp_path / f"{k:03d}.tar", samples("ab", 2, first=4 * k))
    train = load_splits(tmp_path, None, None).train
    alone = [train.load(i).tobytes() for i in range(len(train))]
    descriptors = len(os.listdir("/dev/fd"))
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: train.load(i % len(train)).tobytes(), range(800)))
    assert together[: len(train)] == alone
    assert len(os.listdir("/dev/fd")) == descriptors


def test_a_shard_that_is_cut_off_after_the_scan(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", samples("ab", 15))
    train = load_splits(path, None, None).train
    os.truncate(path, 700)
    with pytest.raises(UsageError, match=r"cannot be read any more\ncause: .*become shorter"):
        train.load(len(train) - 1)
    path.unlink()
    with pytest.raises(UsageError, match="No such file"):
        train.load(0)


def test_fingerprint_sees_another_shard(shards: Path) -> None:
    seen = [fingerprint(shards, None, None), fingerprint(shards / "train-0000.tar", None, None)]
    os.utime(shards / "train-0001.tar", ns=(1, 1))
    seen.append(fingerprint(shards, None, None))
    seen.append(fingerprint(shards, None, shards))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("keep", [512 + 100, 1024, 2048 + 200, 7 * 512, -10240, 0])
def test_a_truncated_tar(tmp_path: Path, keep: int) -> None:
    path = write_tar(tmp_path / "x.tar", samples("ab", 15))
    data = path.read_bytes()
    path.write_bytes(data[:keep])
    with pytest.raises(UsageError, match=r"the shard .*x\.tar of --data cannot be read") as caught:
        load_splits(path, None, None)
    assert caught.value.cause
    assert caught.value.hint


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", samples("ab", 15))
    data = bytearray(path.read_bytes())
    data[2 * 1024 : 2 * 1024 + 100] = b"\1" * 100
    path.write_bytes(data)
    with pytest.raises(UsageError, match="truncated or damaged"):
        load_splits(path, None, None)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz"])
def test_a_compressed_tar_says_what_to_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(write_tar(tmp_path / "y", samples("ab", 15)).read_bytes()))
    with pytest.raises(UsageError, match=r"compressed \(gzip\)") as caught:
        load_splits(path, None, None)
    command = shlex.split(caught.value.hint or "")[-1]
    assert command == f"pipe:gzip -dc {path}"
    splits = load_splits(command, None, None, spool=tmp_path / "spool")
    assert len(splits.train) + len(splits.val) == 30


def test_other_mistakes(tmp_path: Path, shards: Path) -> None:
    cases: dict[str, tuple[Path | str, str]] = {
        "missing": (shards / "train-{0000..0003}.tar", r"train-0003\.tar of --data does not exist"),
        "mixed": (shards / "mixed.txt", "lists shards and other files"),
        "no photo": (write_tar(tmp_path / "a.tar", {"1.txt": b""}), "holds no photo"),
        "no member": (write_tar(tmp_path / "b.tar", {}), "holds no photo"),
        "no class": (write_tar(tmp_path / "c.tar", {"1.png": b""}), "1 photos, but no classes"),
        "apart": (
            write_tar(tmp_path / "d.tar", [("1.png", b""), ("2.png", b""), ("1.cls", b"a")]),
            "has the sample 1 twice",
        ),
        "twice": (
            write_tar(tmp_path / "e.tar", [("1.png", b""), ("1.png", b"")]),
            r"the sample 1\.png twice",
        ),
        "copy": (tmp_path / "{f,g}.tar", r"twice\ncause: it is in .*f\.tar and in .*g\.tar"),
        "one class": (write_tar(tmp_path / "h.tar", samples("a", 15)), "one class only"),
    }
    for name in "fg":
        write_tar(tmp_path / f"{name}.tar", samples("ab", 15))
    (shards / "mixed.txt").write_text("train-0000.tar\nx/1.png\n")
    for data, message in cases.values():
        with pytest.raises(UsageError, match=message) as caught:
            load_splits(data, None, None)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a{008..011}.tar", "a008.tar a009.tar a010.tar a011.tar"),
        ("{a,b}{2..1}", "a2 a1 b2 b1"),
        ("{9..10}{a}", "9{a} 10{a}"),
        ("{x,{y,z}}", "x y x z"),  # in another order than a shell's; each is read once
        ("plain", "plain"),
    ],
)
def test_braces(text: str, expected: str) -> None:
    assert expand_braces(text) == expected.split()


def command(code: str) -> str:
    return "pipe:" + shlex.join([sys.executable, "-c", code])


def test_pipes_are_spooled_once(tmp_path: Path, folders: Path, shards: Path) -> None:
    spool, log = tmp_path / "spool", tmp_path / "log"
    code = f"import shutil, sys; open({str(log)!r}, 'a').write('x'); "
    code += f"shutil.copyfileobj(open({str(shards)!r} + '/train-000' + sys.argv[1] + '.tar', 'rb'),"
    given = command(code + " sys.stdout.buffer)") + " {0..2}"
    key = fingerprint(given, None, None, spool=spool)
    splits = load_splits(given, None, None, calibration_count=20, spool=spool)
    assert_equal(splits, load_splits(folders, None, None, calibration_count=20))
    assert fingerprint(given, None, None, spool=spool) == key
    assert log.read_text() == "xxx"
    assert sorted(path.suffix for path in spool.iterdir()) == [".tar"] * 3


def test_pipes_know_no_shell(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a b;c $HOME.tar", samples("ab", 15))
    splits = load_splits(f"pipe:cat {shlex.quote(str(path))}", None, None, spool=tmp_path / "spool")
    assert splits.labels == ("a", "b")


def test_a_relative_path_in_a_command_is_another_file_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("one", "two"):
        write_tar(tmp_path / name / "x.tar", samples((name, "b"), 15))
        monkeypatch.chdir(tmp_path / name)
        found += [load_splits(Path("pipe:cat x.tar"), None, None, spool=tmp_path / "spool").labels]
    assert found == [("b", "one"), ("b", "two")]


def test_the_spool_is_in_the_cache_folder(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    found = find_shards(f"pipe:cat {shards}/train-0000.tar", "--data")
    assert found is not None
    assert found[0].parent == tmp_path / "cache" / "shards"


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (command("import sys; print('x' * 9000); sys.exit('first\\nlast words')"), "1: last words"),
        (command("print('x' * 9000)"), "no whole tar"),
        ("pipe:true", "no whole tar: .*empty"),
        ("pipe:no-such-program {1..2}", "No such file"),
        ("pipe:cat 'x", "No closing quotation"),
        ("pipe: ", "it is empty"),
    ],
)
def test_a_failing_pipe_leaves_nothing(tmp_path: Path, given: str, cause: str) -> None:
    with pytest.raises(
        UsageError, match=rf"command of --data failed.*\ncause: .*{cause}"
    ) as caught:
        load_splits(given, None, None, spool=tmp_path / "spool")
    assert caught.value.hint
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("keep", [2000, 5 * 1024])
def test_a_pipe_that_ends_early_leaves_nothing(tmp_path: Path, keep: int) -> None:
    path = write_tar(tmp_path / "x.tar", samples("ab", 15))
    given = f"pipe:head -c {keep} {shlex.quote(str(path))}"
    with pytest.raises(UsageError, match="it prints no whole tar"):
        load_splits(given, None, None, spool=tmp_path / "spool")
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_folder_with_shards_of_several_splits_is_refused_with_each(tmp_path: Path) -> None:
    # More in braces than a file system takes in a name.
    for k, name in enumerate([*(f"train-of-many-{k:04}" for k in range(20)), "val-0"]):
        write_tar(tmp_path / f"{name}.tar", samples("ab", 2, first=100 * k))
    with pytest.raises(UsageError, match="shards of several splits") as caught:
        load_splits(tmp_path, None, None)
    words = shlex.split(caught.value.hint or "")
    assert words[::2] == ["--data", "--val"]
    splits = load_splits(words[1], words[3], None)
    assert (len(splits.train), len(splits.val)) == (80, 4)


def test_folders_of_shards_are_named_where_photos_are_missing(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        write_tar(tmp_path / split / "0.tar", samples("ab", 15))
    with pytest.raises(UsageError, match="holds no photo") as caught:
        load_splits(tmp_path, None, None)
    assert caught.value.hint == f"--data {tmp_path / 'train'}"
    assert len(load_splits(tmp_path / "train", None, None).labels) == 2


def test_forms_of_a_class_are_one_in_shards_too(tmp_path: Path) -> None:
    members = samples(("caf\u00e9", "bee"), 8) | samples(("cafe\u0301 ",), 8, first=100)
    splits = load_splits(write_tar(tmp_path / "x.tar", members), None, None)
    assert splits.labels == ("bee", "caf\u00e9")
    assert any("taken for one class" in line for line in splits.warnings)
    counts = np.bincount([*splits.train.labels, *splits.val.labels])
    assert counts.tolist() == [8, 16]


def test_classes_are_counted_in_the_order_of_the_photos(tmp_path: Path) -> None:
    members = samples("ba", 2, first=10) | samples("c", 2)
    listing = index(write_tar(tmp_path / "x.tar", members))
    assert list(listing.label_counts().items()) == [("c", 2), ("b", 2), ("a", 2)]
    chosen = listing.take(np.array([5, 0]))
    assert [(file.name, file.label) for file in chosen.files] == [
        ("000013.png", "a"),
        ("000000.png", "c"),
    ]
    assert list(chosen.label_counts()) == ["a", "c"]


def test_splits_in_a_tar_are_said_to_be_used_alike(tmp_path: Path) -> None:
    members = {
        f"set/{split}/{label}/{i}.png": photo(100 * k + i)
        for k, (split, label) in enumerate((s, c) for s in ("train", "val") for c in "ab")
        for i in range(8)
    }
    warnings = load_splits(write_tar(tmp_path / "x.tar", members), None, None).warnings
    assert any("has photos of train and val, which are used alike" in line for line in warnings)


def test_records_of_earlier_runs_are_read(shards: Path) -> None:
    """Their columns were lists."""
    splits = load_splits(shards, None, None, calibration_count=20)
    assert isinstance(splits.train, ShardPhotos)
    record = splits.to_dict()
    for name in ("train", "val", "calibration"):
        photos = getattr(splits, name)
        paths = list(dict.fromkeys(str(place.path) for place in photos.places))
        record[name] = {
            "kind": "shards",
            "shards": paths,
            "shard": [paths.index(str(place.path)) for place in photos.places],
            "offset": [place.offset for place in photos.places],
            "size": [place.size for place in photos.places],
            "names": list(photos.names),
            "labels": photos.labels.tolist(),
            "sha256": list(photos.hashes),
        }
    assert_equal(splits, Splits.from_dict(json.loads(json.dumps(record))))
