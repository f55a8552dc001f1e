"""The regular files of an uncompressed tar, found by its headers, a hundred thousand a second.

`tarfile` makes an object of a dozen attributes for each header, and takes six times as long: two
minutes for ImageNet's count of photos with a class each. Here, a header that says no more than
name and size is read at once; from the first other one on, the module has the rest.
"""

from __future__ import annotations

import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_BLOCK = tarfile.BLOCKSIZE
_ZEROS = bytes(_BLOCK)
_FOLDER, _EXTENDED = b"5", b"x"
_PLAIN = (b"0", b"\0", _FOLDER, _EXTENDED)
#: Name, size, checksum, kind and the folder before the name.
_FIELDS = struct.Struct("100s24x12s12x8s1s188x155s12x")
_BLANKS, _ENDS = b" " * 8, b" \0"
_EXTENDED_BYTES = 1 << 16  # one of dates alone has a hundred
# What a pax header may change of the entry after it; the dates that writers put there are not read.
_CHANGES = re.compile(rb"(?:^|\n)\d+ (?:path|size|linkpath|hdrcharset|GNU\.)")
_ADLER = 65521


class Entry(NamedTuple):
    """A regular file of a tar: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


def read_entries(file: BinaryIO) -> Iterator[Entry]:
    """Yields the regular files of a tar, in order; sparse ones are left out.

    Args:
        file: at the tar's beginning. Between entries, the caller may read at any other place.

    Raises:
        tarfile.TarError: it is no tar, is damaged, or has no end.
        OSError: it cannot be read.
        ValueError: a header makes no sense.
    """
    at, seek, read = file.tell(), file.seek, file.read  # looked up once, for millions
    while True:
        seek(at)
        header = read(_BLOCK)
        if header == _ZEROS:
            return
        plain = _plain(header)
        if plain is None:
            break
        name, size, kind = plain
        at += _BLOCK
        if kind == _EXTENDED:
            if size > _EXTENDED_BYTES or _CHANGES.search(read(size)):
                at -= _BLOCK
                break
        elif kind == _FOLDER:
            continue
        else:
            yield Entry(name, at, size)
        at += -(-size // _BLOCK) * _BLOCK
    seek(at)
    yield from _read_others(file)


def _plain(header: bytes) -> tuple[str, int, bytes] | None:
    """The name, size and kind that a header says; None where it says more, or is damaged."""
    if len(header) < _BLOCK:
        return None
    name, digits, told, kind, prefix = _FIELDS.unpack(header)
    # The checksum is the sum of all bytes, its own as blanks. The lower half of Adler-32 is that
    # sum and one, modulo a prime, in a tenth of the time of `sum`.
    found = zlib.adler32(header[156:], zlib.adler32(_BLANKS, zlib.adler32(header[:148])))
    try:
        size, checksum = int(digits.rstrip(_ENDS), 8), int(told.strip(_ENDS), 8)
    except ValueError:  # a size beyond 8 GiB is in binary
        return None
    name = name.partition(b"\0")[0]
    if (found & 0xFFFF) != (checksum + 1) % _ADLER or kind not in _PLAIN or size < 0:
        return None
    if kind != _FOLDER and name.endswith(b"/"):  # a folder, in tars of old
        return None
    if prefix[0]:
        name = prefix.partition(b"\0")[0] + b"/" + name
    return name.decode(tarfile.ENCODING, "surrogateescape"), size, kind


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
