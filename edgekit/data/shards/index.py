"""What shards hold: their samples in packed columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.data.columns import Texts

END_BYTES = 4096  # of a photo that are read of it
#: What stands for `hash_end` where there is no photo.
NO_HASH = bytes(hashlib.sha256().digest_size)


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


def number_texts(values: Iterable[str]) -> tuple[Texts, npt.NDArray[np.int64]]:
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
