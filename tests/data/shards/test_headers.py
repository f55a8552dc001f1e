"""A thousand headers at a time give what a member at a time gives, or leave the rest to it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.shards import headers as shard_headers
from edgekit.data.shards.headers import index_shard
from edgekit.data.shards.index import ShardIndex, hash_end
from edgekit.data.shards.members import DuplicateMemberError, index_members
from edgekit.data.shards.tar_entries import BlockReader

Members = list[tuple[str, bytes]]


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], form: int, **more: object) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in more.items():
                setattr(member, key, value)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            tar.addfile(member, io.BytesIO(data))
    return path


def a_member_at_a_time(path: Path) -> ShardIndex:
    with path.open("rb") as file:
        return index_members(BlockReader(file))


def assert_equal(one: ShardIndex, other: ShardIndex) -> None:
    assert one.names == other.names
    for name in ("keys", "offset", "size", "ends"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for texts, numbers in (("labels", "label"), ("folders", "folder")):
        told = [
            [getattr(index, texts)[number] for number in getattr(index, numbers)]
            for index in (one, other)
        ]
        assert told[0] == told[1]


def plain(count: int = 20, before: str = "") -> Members:
    """Samples of a class, a photo and something else, of all lengths."""
    members = []
    for i in range(count):
        members.append((f"{before}{i:04d}.cls", str(i % 3).encode()))
        members.append((f"{before}{i:04d}.jpg", bytes([i]) * (i * 700)))
        members.append((f"{before}{i:04d}.seg.png", b"no photo of this sample"))
    return members


RECORD = json.dumps({"label": "wolf", "caption": "x" * 6000}).encode()
PLAIN: dict[str, Members] = {
    "samples": plain(),
    "folders": [("a/", b""), *plain(before="a/b/"), ("c/", b""), *plain(5, "c/")],
    "in the folder itself": [("./", b""), *plain(before="./")],
    "json": [("1.json", RECORD), ("1.png", b"x"), ("2.png", b"y"), ("2.json", b'{"cls": 7}')],
    "both": [("1.json", RECORD), ("1.cls", b"dog"), ("1.png", b"x")],
    "long class": [("1.cls", b"c" * 5000), ("1.png", b"x"), ("2.cls", b"c" * (1 << 21))],
    "no photo": [("1.cls", b"a"), ("2.txt", b""), ("3.JPG", b"z"), ("3.png", b"later")],
    "a folder with a dot": [("v1.0/a.png", b"1"), ("v1.0/a.seg.png", b"2"), ("v1.0/b.cls", b"x")],
    "nothing": [],
}
OTHERS: dict[str, Members] = {
    "hidden": [*plain(5), ("._1.png", b"x"), *plain(5, "b/")],
    "no ending": [*plain(5), ("README", b"x"), *plain(5, "b/")],
    "not ASCII": [*plain(5), ("ü.png", b"x"), *plain(5, "b/")],
    "long names": [*plain(5), ("a" * 96 + ".png", b"x"), *plain(5, "b" * 99 + "/")],
    "long ending": [*plain(5), ("9.ending-of-many-letters", b"x"), *plain(5, "b/")],
    "some in the folder itself": [*plain(5), *plain(5, "./b/")],
    "from the root": plain(5, "/b/"),
}


@pytest.mark.parametrize("at_once", [7, 8192])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("members", [*PLAIN.values(), *OTHERS.values()], ids=[*PLAIN, *OTHERS])
def test_both_ways_find_the_same(tmp_path: Path, members: Members, form: int, at_once: int) -> None:
    path = write_tar(tmp_path / "x.tar", members, form, mtime=1.5)
    assert_equal(index_shard(path, at_once), a_member_at_a_time(path))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("members", [members for members in PLAIN.values() if members])
def test_plain_shards_need_no_other_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: Members, form: int
) -> None:
    path = write_tar(tmp_path / "x.tar", members, form, mtime=1.5)
    monkeypatch.delattr(shard_headers, "index_members")
    index_shard(path)


def test_photos_are_known_by_size_and_end(tmp_path: Path) -> None:
    long = bytes(range(256)) * 40
    members = [("a.jpg", long), ("b.jpg", b"x" + long), ("c.jpg", b"y" + long[1:]), ("d.jpg", b"")]
    index = index_shard(write_tar(tmp_path / "x.tar", members, tarfile.USTAR_FORMAT))
    a, b, c, d = (row.tobytes() for row in index.ends)
    assert a == c == hash_end(len(long), long[-4096:])
    assert len({a, b, d}) == 3


@pytest.mark.parametrize("at_once", [2, 8192])
def test_a_member_twice_is_named(tmp_path: Path, at_once: int) -> None:
    members = [*plain(3), ("9.cls", b"1"), ("9.txt", b""), ("9.cls", b"2")]
    path = write_tar(tmp_path / "x.tar", members, tarfile.USTAR_FORMAT)
    with pytest.raises(DuplicateMemberError) as caught:
        index_shard(path, at_once)
    assert caught.value.member == "9.cls"


@pytest.mark.parametrize("place", [2, 100, 130, 150, 156, 200, 400])
@pytest.mark.parametrize("at_once", [4, 8192])
def test_a_damaged_header_is_refused(tmp_path: Path, place: int, at_once: int) -> None:
    path = write_tar(tmp_path / "x.tar", plain(9), tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    data[data.index(b"0005.jpg") + place] ^= 1
    path.write_bytes(data)
    with pytest.raises(tarfile.TarError):
        index_shard(path, at_once)


@pytest.mark.parametrize("keep", [0, 300, 512 * 5, 512 * 7 + 100])
def test_a_shard_that_ends_early_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_tar(tmp_path / "x.tar", plain(9), tarfile.USTAR_FORMAT)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(tarfile.TarError):
        index_shard(path)
