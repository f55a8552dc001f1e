"""The samples of a shard, found a thousand headers at a time.

Most shards hold nothing but files with plain names. Checking and taking apart their headers with
numpy saves a third of the time. Where a header is of another kind, or damaged, the rest of the
shard is gone through by `edgekit.data.shards.members`, which finds the same and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.data.columns import Texts
from edgekit.data.shards.index import (
    END_BYTES,
    NO_HASH,
    ShardIndex,
    concatenate_indexes,
    hash_end,
    number_texts,
)
from edgekit.data.shards.members import (
    LABELS,
    folder_of,
    index_members,
    is_photo,
    label_of,
    read_label,
)
from edgekit.data.shards.tar_entries import BlockReader, Headers, read_headers
from edgekit.system.collection import without_collection
from edgekit.system.paths import StrPath

_AT_ONCE = 8192  # headers: 20 MB with the ends of as many photos as labels
_EXTENSION_BYTES = 16  # more of one is left to the other way
# Of a header: its name, checksum, kind and the folder before the name.
_NAME, _CHECKSUM, _KIND, _PREFIX = slice(100), slice(148, 156), 156, 345
_EIGHTS = 8 ** np.arange(5, -1, -1)
_DOT, _SLASH, _ZERO, _BLANK = b"./0 "


def index_shard(shard: StrPath, at_once: int = _AT_ONCE) -> ShardIndex:
    """Goes through a shard once, and reads what tells classes and the end of each photo.

    Args:
        shard: the file.
        at_once: how many headers are taken together, at most.

    Raises:
        DuplicateMemberError: a sample has two members with the same extension.
        tarfile.TarError, OSError, ValueError or OverflowError: it is no tar, or ends early.
    """
    parts: list[ShardIndex] = []
    with Path(shard).open("rb") as file, without_collection():
        reader, at, is_done = BlockReader(file), 0, False
        while not is_done:
            headers = read_headers(reader, at, at_once, END_BYTES)
            rows = _rows_of_samples(headers)
            part = _index(reader, headers, rows) if rows is not None else None
            if rows is None or part is None:
                parts.append(index_members(reader, at))
                break
            parts.append(part)
            is_done = len(rows) == len(headers.blocks)
            at = at if is_done else headers.begins[len(rows)]
    return concatenate_indexes(parts)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Headers of plain names, as columns of arrays.

    Attributes:
        names: uint8 [n, characters]; what is behind a name makes no difference.
        lengths: of the names, int64 [n].
        dots: where the extension's dot is in each, int64 [n].
        begins: whether a sample begins here, bool [n].
    """

    names: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int64]
    dots: npt.NDArray[np.int64]
    begins: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.begins)


def _rows_of_samples(headers: Headers) -> _Rows | None:
    """Returns the first headers, as far as they are plain and of whole samples; None for none."""
    if not headers.blocks:
        return None
    blocks = np.frombuffer(b"".join(headers.blocks), np.uint8).reshape(len(headers.blocks), -1)
    names = blocks[:, _NAME]
    if (names[:, :2] == (_DOT, _SLASH)).all():  # of all that is in a folder
        names = names[:, 2:]
    # Eight bits hold a place in a name, and an array of them fits into the processor's cache.
    lengths = (names == 0).argmax(1).astype(np.int8)
    places = np.arange(names.shape[1], dtype=np.int8)
    within = places < lengths[:, None]
    slashes = np.where((names == _SLASH) & within, places, np.int8(-1)).max(1)
    is_dot = (names == _DOT) & within & (places > slashes[:, None])
    dots = is_dot.argmax(1).astype(np.int8)
    plain = (
        _have_right_sums(blocks)
        & ((blocks[:, _KIND] == _ZERO) | (blocks[:, _KIND] == 0))
        & (blocks[:, _PREFIX] == 0)
        & is_dot.any(1)
        & (dots > slashes + 1)  # else a hidden file
        & (lengths - dots - 1 <= _EXTENSION_BYTES)
        & ~((names >= 128) & within).any(1)
        & (names[:, 0] != _SLASH)
        & ((names[:, 0] != _DOT) | (names[:, 1] != _SLASH))
    )
    keys = names * (places < dots[:, None])
    begins = np.concatenate([[True], (keys[1:] != keys[:-1]).any(1)])
    count = len(plain) if plain.all() else int(plain.argmin())
    if count < len(plain) or not headers.is_last:  # the last sample may go on
        count = int(np.flatnonzero(begins[:count])[-1]) if count else 0
    if not count:
        return None
    cut, whole = slice(count), np.int64
    return _Rows(names[cut], lengths[cut].astype(whole), dots[cut].astype(whole), begins[cut])


def _have_right_sums(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Returns of each header whether it has its checksum, in the six digits that most write."""
    digits = blocks[:, _CHECKSUM].astype(np.int64) - _ZERO
    told = digits[:, :6] @ _EIGHTS
    blanks = blocks[:, _CHECKSUM.stop - 2 : _CHECKSUM.stop]
    own = blocks[:, _CHECKSUM].sum(1, dtype=np.int64)
    # It is the sum of all bytes, its own as blanks.
    sums = blocks.sum(1, dtype=np.uint32) - own + 8 * _BLANK
    is_octal = ((digits[:, :6] >= 0) & (digits[:, :6] < 8)).all(1)
    found: npt.NDArray[np.bool_] = is_octal & (sums == told) & (blanks == (0, _BLANK)).all(1)
    return found


def _index(reader: BlockReader, headers: Headers, rows: _Rows) -> ShardIndex | None:
    """Returns the samples of headers; None where one has two members of the same extension."""
    extensions, extension = _extensions_of(rows)
    sample = np.cumsum(rows.begins) - 1
    each = np.sort(sample * len(extensions) + extension)
    if (each[1:] == each[:-1]).any():
        return None
    first = np.flatnonzero(rows.begins)
    photos = np.flatnonzero(np.array([is_photo(text) for text in extensions])[extension])
    chosen = first.copy()  # the row that each sample is named after
    has_photo = np.zeros(len(first), bool)
    with_photo, which = np.unique(sample[photos], return_index=True)
    chosen[with_photo], has_photo[with_photo] = photos[which], True
    keys = rows.dots[first]
    lengths = np.where(has_photo, rows.lengths[chosen], keys)
    names = rows.names[chosen]
    contents = names[np.arange(names.shape[1]) < lengths[:, None]].tobytes()
    packed = Texts(contents, np.cumsum(lengths))
    offset, size = np.array(headers.offsets)[chosen], np.array(headers.sizes)[chosen]
    ends = [
        hash_end(headers.sizes[row], headers.ends[row]) if has else NO_HASH
        for row, has in zip(chosen.tolist(), has_photo.tolist(), strict=True)
    ]
    of_label = {
        text: np.flatnonzero(extension == extensions.index(text))
        for text in LABELS
        if text in extensions
    }
    labels, label = number_texts(_labels_of(reader, headers, sample, of_label))
    folders, folder = number_texts(
        map(folder_of, packed) if b"/" in contents else [""] * len(first)
    )
    return ShardIndex(
        names=packed,
        keys=keys,
        offset=np.where(has_photo, offset, -1),
        size=np.where(has_photo, size, 0),
        labels=labels,
        label=label,
        folders=folders,
        folder=folder,
        ends=np.frombuffer(b"".join(ends), np.uint8).reshape(-1, len(NO_HASH)),
    )


def _extensions_of(rows: _Rows) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Returns the extensions, each once, and which of them each member has, int64 [n]."""
    places = rows.dots[:, None] + 1 + np.arange(_EXTENSION_BYTES)
    taken = np.take_along_axis(rows.names, np.minimum(places, rows.names.shape[1] - 1), 1)
    padded = np.where(places < rows.lengths[:, None], taken, 0).astype(np.uint8)
    texts = np.ascontiguousarray(padded).view(f"S{_EXTENSION_BYTES}")[:, 0]
    found, extension = np.unique(texts, return_inverse=True)
    return [text.decode() for text in found.tolist()], extension


def _labels_of(
    reader: BlockReader,
    headers: Headers,
    sample: npt.NDArray[np.int64],
    of_label: Mapping[str, npt.NDArray[np.int64]],
) -> list[str]:
    """Returns the class that each sample tells; '' if it tells none.

    Args:
        reader: of the shard.
        headers: of the members.
        sample: which sample each member is of, int64 [n].
        of_label: the members that may tell it, by their extension; the first of a sample counts.
    """
    count = int(sample[-1]) + 1
    found, known = [""] * count, np.zeros(count, bool)
    for extension, all_members in of_label.items():
        members = all_members[~known[sample[all_members]]]
        known[sample[members]] = True
        for row, number in zip(members.tolist(), sample[members].tolist(), strict=True):
            size, content = headers.sizes[row], headers.ends[row]
            if size > len(content):
                content = read_label(reader, headers.offsets[row], size)
            found[number] = label_of({extension: content})
    return found
