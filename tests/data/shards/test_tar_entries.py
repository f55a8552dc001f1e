"""The fast reader of tars finds what Python's own module finds, in tars of every format."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.data.shards import tar_entries
from edgekit.data.shards.tar_entries import BlockReader, Entry, read_entries

LONG = "folder/" * 40 + "é.jpg"


def file_of(name: str, contents: bytes, **more: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(contents)
    for key, value in more.items():
        setattr(member, key, value)
    return member, contents


FILES = [
    file_of("0.cls", b"3"),
    file_of("0.jpg", bytes(range(256)) * 5),
    file_of("a" * 90 + "/" + "b" * 80 + ".jpg", b"in two fields of ustar"),
    file_of("empty.jpg", b""),
    file_of("dated.jpg", b"now", mtime=1.5, uid=3, uname="me"),
]
OTHERS = [
    file_of("folder", b"", type=tarfile.DIRTYPE),
    file_of("link.jpg", b"", type=tarfile.SYMTYPE, linkname="0.jpg"),
    file_of("after.jpg", b"a link"),
    file_of(LONG, b"a long name"),
    file_of("last.jpg", b"x" * 512),
]


def write(path: Path, files: list[tuple[tarfile.TarInfo, bytes]], form: int) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for member, contents in files:
            tar.addfile(member, io.BytesIO(contents))
    return path


def expected(path: Path) -> list[Entry]:
    with tarfile.open(path) as tar:
        return [Entry(one.name, one.offset_data, one.size) for one in tar if one.isreg()]


def found(path: Path) -> list[Entry]:
    with path.open("rb") as file:
        entries = []
        for entry in read_entries(BlockReader(file)):
            entries.append(entry)
            file.seek(7)  # a caller reads elsewhere
        return entries


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("others", [False, True])
def test_it_finds_what_the_module_finds(tmp_path: Path, form: int, others: bool) -> None:
    files = [*FILES, *OTHERS] if others else FILES
    if form == tarfile.USTAR_FORMAT:
        files = [file for file in files if file[0].name != LONG]
    path = write(tmp_path / "x.tar", files, form)
    assert found(path) == expected(path)
    assert len(found(path)) == sum(one.isreg() for one, _ in files)


def test_pax_headers_of_dates_alone_are_read_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers of shards put one before every file."""
    many = [file_of(f"{i}.jpg", b"x", mtime=i + 0.5) for i in range(20)]
    path = write(tmp_path / "x.tar", many, tarfile.PAX_FORMAT)
    wanted = expected(path)
    monkeypatch.delattr(tar_entries, "_read_others")
    assert found(path) == wanted


def test_a_name_in_a_pax_header_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", [file_of("é.jpg", b"x", mtime=0.5)], tarfile.PAX_FORMAT)
    assert [entry.name for entry in found(path)] == ["é.jpg"]


def cut(data: bytes) -> bytes:
    return data[:3000]


def without_end(data: bytes) -> bytes:
    return data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512)


def other_checksum(data: bytes) -> bytes:
    at = data.index(b"dated.jpg")
    return data[:at] + b"D" + data[at + 1 :]


@pytest.mark.parametrize("damage", [cut, without_end, other_checksum, lambda data: b""])
def test_what_is_damaged_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path / "x.tar", FILES, tarfile.USTAR_FORMAT)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(tarfile.TarError):
        found(path)


class CountingFile(io.BytesIO):
    """Remembers how much was read of it, in bytes each time."""

    def __init__(self, contents: bytes) -> None:
        super().__init__(contents)
        self.counts: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.counts.append(len(data))
        return data


def test_a_block_holds_many_small_parts() -> None:
    contents = bytes(range(256)) * 4096
    file = CountingFile(contents)
    reader = BlockReader(file)
    for start in range(0, len(contents), 700):
        assert reader.read(start, 700) == contents[start : start + 700]
    assert len(file.counts) < 20
    assert reader.read(5, 9) == contents[5:14]  # backwards
    assert reader.read(len(contents) - 3, 9) == contents[-3:]
    assert reader.read(len(contents) + 9, 9) == b""


def test_what_is_skipped_is_not_read() -> None:
    file = CountingFile(bytes(1 << 22))
    reader = BlockReader(file)
    for start in range(0, 1 << 22, 1 << 17):
        reader.read(start, 4096)
        reader.read(start + 4096, 512)
    assert sum(file.counts) <= (1 << 5) * (1 << 13)
