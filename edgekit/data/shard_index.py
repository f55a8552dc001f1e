"""What one shard holds: its samples in packed columns, found in one pass.

In a shard, members that follow each other and have the same key are a sample; the key is the path
up to the first dot of its last part. A sample ``flower/0001`` may consist of ``flower/0001.jpg``
and ``flower/0001.cls``, say (https://github.com/webdataset/webdataset).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgekit.data.columns import Texts
from edgekit.data.folders import printable
from edgekit.data.images import EXTENSIONS
from edgekit.data.tar_entries import BlockReader, read_entries
from edgekit.system.collection import without_collection
from edgekit.system.paths import StrPath

END_BYTES = 4096  # of a photo that are read of it
INTEGER = re.compile(r"-?[0-9]{1,18}")  # a class that is a number

_PHOTOS = frozenset(extension.removeprefix(".") for extension in EXTENSIONS)
_LABEL_KEYS = ("label", "class", "cls")  # of a sample's JSON
_LABEL_BYTES = 1 << 20  # more is no label
_NO_HASH = bytes(hashlib.sha256().digest_size)


class DuplicateMemberError(ValueError):
    """A sample has two members with the same extension.

    Args:
        member: their name.
    """

    def __init__(self, member: str) -> None:
        super().__init__(f"it has {member} twice")
        self.member = member


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The samples of a shard, in order.

    Attributes:
        names: of the photos; of samples without one, the keys.
        keys: how many bytes of each name are the key, int64 [n].
        offset: where each photo begins, in bytes, int64 [n]; -1 where a sample has none.
        size: its length in bytes, int64 [n].
        labels: what samples say of their class, each text once; '' where they say nothing.
        label: which of these each sample has, int64 [n].
        folders: the names of the folders that samples are in, each once; '' for none.
        folder: which of these each sample has, int64 [n].
        ends: of each photo, what `hash_end` returns, uint8 [n, 32].
    """

    names: Texts
    keys: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    labels: Texts
    label: npt.NDArray[np.int64]
    folders: Texts
    folder: npt.NDArray[np.int64]
    ends: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.offset)


def index_shard(shard: StrPath) -> ShardIndex:
    """Goes through a shard once, and reads what tells classes and the end of each photo.

    Raises:
        DuplicateMemberError: a sample has two members with the same extension.
        tarfile.TarError, OSError, ValueError or OverflowError: it is no tar, or ends early.
    """
    with Path(shard).open("rb") as file, without_collection():
        samples = list(_samples(BlockReader(file)))
    names, keys, offset, size, label, folder, ends = (
        zip(*samples, strict=True) if samples else ((),) * len(_Sample._fields)
    )
    labels, label_numbers = _numbered(label)
    folders, folder_numbers = _numbered(folder)
    return ShardIndex(
        names=Texts.pack(names),
        keys=np.array(keys, np.int64),
        offset=np.array(offset, np.int64),
        size=np.array(size, np.int64),
        labels=labels,
        label=label_numbers,
        folders=folders,
        folder=folder_numbers,
        ends=np.frombuffer(b"".join(ends), np.uint8).reshape(-1, len(_NO_HASH)),
    )


def concatenate_indexes(parts: Sequence[ShardIndex]) -> ShardIndex:
    """Returns the samples of several shards as if they were of one; at least one is needed."""
    labels, label = _concatenated([(part.labels, part.label) for part in parts])
    folders, folder = _concatenated([(part.folders, part.folder) for part in parts])
    return ShardIndex(
        Texts.concatenate([part.names for part in parts]),
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.size for part in parts]),
        labels,
        label,
        folders,
        folder,
        np.concatenate([part.ends for part in parts]),
    )


def hash_end(size: int, end: bytes) -> bytes:
    """Returns the SHA-256 of a photo's size and its last `END_BYTES`, or all of a smaller one.

    The end of a JPEG is of its compressed pixels.
    """
    return hashlib.sha256(b"%d\0%b" % (size, end)).digest()


class _Sample(NamedTuple):
    """A row of `ShardIndex`."""

    name: str
    key: int
    offset: int
    size: int
    label: str
    folder: str
    end: bytes


class _Member(NamedTuple):
    """A file in a shard: its printable name in parts, and what was read of it.

    Of what may be a label, these are its bytes; of a photo, what `hash_end` returns.
    """

    key: str
    extension: str
    offset: int
    size: int
    content: bytes


def _samples(reader: BlockReader) -> Iterator[_Sample]:
    for key, group in groupby(_members(reader), key=itemgetter(0)):
        members: dict[str, _Member] = {}
        photo: _Member | None = None
        for member in group:
            extension = member[1]
            if extension in members:
                raise DuplicateMemberError(f"{key}.{extension}")
            members[extension] = member
            if photo is None and _is_photo(extension):
                photo = member
        length = len(key) if key.isascii() else len(key.encode())
        folder = key.rpartition("/")[0].rpartition("/")[2] if "/" in key else ""
        label = _label(members)
        if photo is None:
            yield _Sample(key, length, -1, 0, label, folder, _NO_HASH)
            continue
        _, extension, offset, size, end = photo
        yield _Sample(f"{key}.{extension}", length, offset, size, label, folder, end)


def _members(reader: BlockReader) -> Iterator[_Member]:
    """Yields the files of a tar that are part of a sample."""
    for entry, offset, size in read_entries(reader):
        name = entry.removeprefix("./").lstrip("/")
        if not name.isascii():
            name = printable(name)
        start = name.rfind("/") + 1
        dot = name.find(".", start)
        if dot <= start:
            continue  # a hidden file, or one without an ending
        extension = name[dot + 1 :]
        content = b""
        if _is_photo(extension):
            count = min(size, END_BYTES)
            content = hash_end(size, reader.read(offset + size - count, count))
        elif extension in ("cls", "json") and size <= _LABEL_BYTES:
            content = reader.read(offset, size)
        yield _Member(name[:dot], extension, offset, size, content)


@lru_cache(1 << 10)
def _is_photo(extension: str) -> bool:
    return extension.lower() in _PHOTOS


def _label(members: Mapping[str, _Member]) -> str:
    """Returns the class that a sample tells, an integer as decimal text; '' if it tells none."""
    if "cls" in members:
        return _class_of(members["cls"].content)
    text = ""
    if "json" in members:
        with suppress(ValueError, RecursionError):
            record = json.loads(members["json"].content)
            known = record if isinstance(record, dict) else {}
            value = next((known[key] for key in _LABEL_KEYS if key in known), None)
            if isinstance(value, int | str) and not isinstance(value, bool):
                text = printable(str(value)).strip()
    return _number_or_name(text)


@lru_cache(1 << 14)  # a million photos have a thousand classes
def _class_of(content: bytes) -> str:
    return _number_or_name(content.decode(errors="backslashreplace").strip())


def _number_or_name(text: str) -> str:
    return str(int(text)) if INTEGER.fullmatch(text) else text


def _numbered(values: Iterable[str]) -> tuple[Texts, npt.NDArray[np.int64]]:
    """Returns each text once, and which of them each value is, int64 [n]."""
    numbers: dict[str, int] = {}
    numbered = [numbers.setdefault(value, len(numbers)) for value in values]
    return Texts.pack(numbers), np.array(numbered, np.int64)


def _concatenated(
    parts: Sequence[tuple[Texts, npt.NDArray[np.int64]]],
) -> tuple[Texts, npt.NDArray[np.int64]]:
    """Returns each text of all parts once, and which of them each value is, int64 [n]."""
    numbers: dict[str, int] = {}
    found = []
    for texts, values in parts:
        own = [numbers.setdefault(text, len(numbers)) for text in texts]
        found.append(np.array(own, np.int64)[values])
    return Texts.pack(numbers), np.concatenate(found)
