"""The regular files of an uncompressed tar, found by its headers, in one pass over the file.

`tarfile` makes an object of a dozen attributes for each header, and takes ten times as long: two
minutes for ImageNet's count of photos with a class each. Here, a header that says no more than
name and size is read at once; from the first other one on, the module has the rest.
"""

from __future__ import annotations

import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, NamedTuple

_BLOCK = tarfile.BLOCKSIZE
_ZEROS = bytes(_BLOCK)
_FOLDER, _EXTENDED = b"5", b"x"
_PLAIN = (b"0", b"\0", _FOLDER, _EXTENDED)
#: Name, size, checksum, kind and the folder before the name.
_FIELDS = struct.Struct("100s24x12s12x8s1s188x155s12x")
_SIZE, _KIND = slice(124, 136), slice(156, 157)
_BLANKS, _ENDS = 8 * ord(" "), b" \0"
_EXTENDED_BYTES = 1 << 16  # one of dates alone has a hundred
# What a pax header may change of the entry after it; the dates that writers put there are not read.
_CHANGES = re.compile(rb"(?:^|\n)\d+ (?:path|size|linkpath|hdrcharset|GNU\.)")
_ADLER = 65521


#: Bytes that are read at once: the least where much is skipped, and the most where nothing is.
_LEAST_READ, _MOST_READ = 1 << 13, 1 << 19


class Entry(NamedTuple):
    """A regular file of a tar: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


class BlockReader:
    """Reads parts of a file, mostly forwards: one block holds many small parts.

    Of a file whose large parts are skipped, little more is read than what is asked for.

    Args:
        file: to read; whoever reads or seeks in it elsewhere makes no difference here.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._block, self._start, self._count = b"", -1, _LEAST_READ

    def read(self, offset: int, size: int) -> bytes:
        """Returns the bytes from ``offset`` on: ``size`` of them, or fewer where the file ends."""
        first = offset - self._start
        if first < 0 or first + size > len(self._block):
            is_next = 0 <= first <= len(self._block)
            self._count = min(2 * self._count, _MOST_READ) if is_next else _LEAST_READ
            self.file.seek(offset)
            self._block, self._start = self.file.read(max(size, self._count)), offset
            first = 0
        return self._block[first : first + size]


class Headers(NamedTuple):
    """The headers of regular files that follow each other in a tar, none of them checked.

    Attributes:
        blocks: the headers.
        begins: where each begins, or the other headers before it that belong to it.
        offsets: where the contents of each file begin.
        sizes: their lengths in bytes.
        ends: their last bytes.
        is_last: whether the tar's end follows.
    """

    blocks: list[bytes]
    begins: list[int]
    offsets: list[int]
    sizes: list[int]
    ends: list[bytes]
    is_last: bool


def read_headers(reader: BlockReader, at: int, most: int, end_bytes: int) -> Headers:
    """Goes from header to header as their sizes say, up to one that says more than name and size.

    It checks the headers of folders and dates, which are left out, but no header of a file: the
    caller does, for many at once. Until then, nothing of what it returns can be relied on.

    Args:
        reader: of the tar.
        at: where the first header begins.
        most: of how many files.
        end_bytes: how much of the end of each file is read, at most.

    Raises:
        OSError: the file cannot be read.
    """
    found = Headers([], [], [], [], [], is_last=False)
    blocks, begins, offsets, sizes, ends, _ = found
    read, begin = reader.read, at
    while len(blocks) < most:
        header = read(at, _BLOCK)
        if header == _ZEROS:
            return found._replace(is_last=True)
        kind = header[_KIND]
        if kind in (_FOLDER, _EXTENDED):
            if (offset := _behind(reader, header, at)) is None:
                break
            at = offset
            continue
        try:
            size = _octal(header[_SIZE])
        except ValueError:
            break
        if kind not in _PLAIN or size < 0 or len(header) < _BLOCK:
            break
        at += _BLOCK
        count = min(size, end_bytes)
        blocks.append(header)
        begins.append(begin)
        offsets.append(at)
        sizes.append(size)
        ends.append(read(at + size - count, count))
        at += -(-size // _BLOCK) * _BLOCK
        begin = at
    return found


def read_entries(reader: BlockReader, at: int = 0) -> Iterator[Entry]:
    """Yields the regular files of a tar, in order; sparse ones are left out.

    Args:
        reader: of the tar. Between entries, the caller may read at any other place.
        at: where the first header begins, in bytes.

    Raises:
        tarfile.TarError: it is no tar, is damaged, or has no end.
        OSError: it cannot be read.
        ValueError: a header makes no sense.
    """
    read = reader.read
    while True:
        header = read(at, _BLOCK)
        if header == _ZEROS:
            return
        if header[_KIND] in (_FOLDER, _EXTENDED):
            if (offset := _behind(reader, header, at)) is None:
                break
            at = offset
            continue
        plain = _plain(header)
        if plain is None:
            break
        name, size, _ = plain
        yield Entry(name, at + _BLOCK, size)
        at += _BLOCK - (-size // _BLOCK) * _BLOCK
    reader.file.seek(at)
    yield from _read_others(reader.file)


def _behind(reader: BlockReader, header: bytes, at: int) -> int | None:
    """Where the header after one of a folder or of dates is; None where it says more than that."""
    if (plain := _plain(header)) is None:
        return None
    _, size, kind = plain
    at += _BLOCK
    if kind == _FOLDER:
        return at
    if size > _EXTENDED_BYTES or _CHANGES.search(reader.read(at, size)):
        return None
    return at - (-size // _BLOCK) * _BLOCK


def _plain(header: bytes) -> tuple[str, int, bytes] | None:
    """The name, size and kind that a header says; None where it says more, or is damaged."""
    if len(header) < _BLOCK:
        return None
    name, digits, told, kind, prefix = _FIELDS.unpack(header)
    try:
        size, checksum = _octal(digits), _octal(told)
    except ValueError:  # a size beyond 8 GiB is in binary
        return None
    # The checksum is the sum of all bytes, its own as blanks. The lower half of Adler-32 is that
    # sum and one, modulo a prime, in a tenth of the time of `sum`.
    found = (zlib.adler32(header) & 0xFFFF) - (zlib.adler32(told) & 0xFFFF) + _BLANKS
    name = name.partition(b"\0")[0]
    if (found - checksum) % _ADLER or kind not in _PLAIN or size < 0:
        return None
    if kind != _FOLDER and name.endswith(b"/"):  # a folder, in tars of old
        return None
    if prefix[0]:
        name = prefix.partition(b"\0")[0] + b"/" + name
    return name.decode(tarfile.ENCODING, "surrogateescape"), size, kind


@lru_cache(1 << 14)  # the same few again and again
def _octal(digits: bytes) -> int:
    return int(digits.rstrip(_ENDS), 8)


def _read_others(file: BinaryIO) -> Iterator[Entry]:
    """Yields the rest of a tar's regular files, as Python's module finds them."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for entry in tar:
            tar.members = []  # type: ignore[attr-defined] # which it keeps otherwise
            if entry.isreg() and not entry.issparse():
                yield Entry(entry.name, entry.offset_data, entry.size)
        # The module takes a header that is cut off or damaged for the end.
        file.seek(tar.offset)
        if file.read(_BLOCK) != _ZEROS:
            raise tarfile.ReadError("it is truncated or damaged: its end is not marked")
