"""The samples of a shard, found a member at a time.

In a shard, members that follow each other and have the same key are a sample; the key is the path
up to the first dot of its last part. A sample ``flower/0001`` may consist of ``flower/0001.jpg``
and ``flower/0001.cls``, say (https://github.com/webdataset/webdataset).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from edgekit.data.columns import Texts
from edgekit.data.images import EXTENSIONS
from edgekit.data.photo_files import printable
from edgekit.data.shards.index import END_BYTES, NO_HASH, ShardIndex, hash_end, number_texts
from edgekit.data.shards.tar_entries import BlockReader, read_entries

INTEGER = re.compile(r"-?[0-9]{1,18}")  # a class that is a number
LABELS = ("cls", "json")  # the extensions of members that may tell a class

_PHOTOS = frozenset(extension.removeprefix(".") for extension in EXTENSIONS)
_LABEL_KEYS = ("label", "class", "cls")  # of a sample's JSON
_LABEL_BYTES = 1 << 20  # more is no label


class DuplicateMemberError(ValueError):
    """A sample has two members with the same extension.

    Args:
        member: their name.
    """

    def __init__(self, member: str) -> None:
        super().__init__(f"it has {member} twice")
        self.member = member


def index_members(reader: BlockReader, at: int = 0) -> ShardIndex:
    """Returns the samples of a shard.

    Args:
        reader: of the shard.
        at: where the header of the first member begins, in bytes.

    Raises:
        DuplicateMemberError: a sample has two members with the same extension.
        tarfile.TarError, OSError, ValueError or OverflowError: it is no tar, or ends early.
    """
    samples = list(_samples(reader, at))
    names, keys, offset, size, label, folder, ends = (
        zip(*samples, strict=True) if samples else ((),) * len(_Sample._fields)
    )
    labels, label_numbers = number_texts(label)
    folders, folder_numbers = number_texts(folder)
    return ShardIndex(
        names=Texts.pack(names),
        keys=np.array(keys, np.int64),
        offset=np.array(offset, np.int64),
        size=np.array(size, np.int64),
        labels=labels,
        label=label_numbers,
        folders=folders,
        folder=folder_numbers,
        ends=np.frombuffer(b"".join(ends), np.uint8).reshape(-1, len(NO_HASH)),
    )


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


def _samples(reader: BlockReader, at: int) -> Iterator[_Sample]:
    for key, group in groupby(_members(reader, at), key=itemgetter(0)):
        members: dict[str, _Member] = {}
        photo: _Member | None = None
        for member in group:
            extension = member[1]
            if extension in members:
                raise DuplicateMemberError(f"{key}.{extension}")
            members[extension] = member
            if photo is None and is_photo(extension):
                photo = member
        length = len(key) if key.isascii() else len(key.encode())
        told = {kind: member.content for kind, member in members.items() if kind in LABELS}
        label, folder = label_of(told), folder_of(key)
        if photo is None:
            yield _Sample(key, length, -1, 0, label, folder, NO_HASH)
            continue
        _, extension, offset, size, end = photo
        yield _Sample(f"{key}.{extension}", length, offset, size, label, folder, end)


def _members(reader: BlockReader, at: int) -> Iterator[_Member]:
    """Yields the files of a tar that are part of a sample."""
    for entry, offset, size in read_entries(reader, at):
        name = entry.removeprefix("./").lstrip("/")
        if not name.isascii():
            name = printable(name)
        start = name.rfind("/") + 1
        dot = name.find(".", start)
        if dot <= start:
            continue  # a hidden file, or one without an ending
        extension = name[dot + 1 :]
        content = b""
        if is_photo(extension):
            count = min(size, END_BYTES)
            content = hash_end(size, reader.read(offset + size - count, count))
        elif extension in LABELS:
            content = read_label(reader, offset, size)
        yield _Member(name[:dot], extension, offset, size, content)


@lru_cache(1 << 10)
def is_photo(extension: str) -> bool:
    """Whether a member with this extension is a photo."""
    return extension.lower() in _PHOTOS


def folder_of(key: str) -> str:
    """Returns the name of the folder that a sample is in; '' for none."""
    return key.rpartition("/")[0].rpartition("/")[2] if "/" in key else ""


def read_label(reader: BlockReader, offset: int, size: int) -> bytes:
    """Returns the contents of a member that may be a label; nothing of one that is too long."""
    return reader.read(offset, size) if size <= _LABEL_BYTES else b""


def label_of(told: Mapping[str, bytes]) -> str:
    """Returns the class that a sample tells, an integer as decimal text; '' if it tells none.

    Args:
        told: the contents of those of its members that are `LABELS`.
    """
    if "cls" in told:
        return _class_of(told["cls"])
    text = ""
    if "json" in told:
        with suppress(ValueError, RecursionError):
            record = json.loads(told["json"])
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
