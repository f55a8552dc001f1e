"""Labelled photos in shards, in packed columns: ImageNet's take a hundred megabytes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.data.columns import (
    Column,
    Digests,
    Texts,
    integers_from_json,
    integers_to_json,
)
from edgekit.data.photo_files import HashedPhotos, Listing, PhotoFile, Place, Span
from edgekit.system.quoting import quote_path, unquote_path

if TYPE_CHECKING:
    from typing_extensions import Self


class Spans(Column[Place]):
    """Parts of shards.

    Args:
        shards: their paths.
        shard: which of them each is in, int64 [n].
        offset: where it begins there, in bytes, likewise.
        size: its length in bytes, likewise.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        shard: npt.NDArray[np.int64],
        offset: npt.NDArray[np.int64],
        size: npt.NDArray[np.int64],
    ) -> None:
        self.shards, self.shard, self.offset, self.size = tuple(shards), shard, offset, size

    def __len__(self) -> int:
        return len(self.shard)

    def at(self, index: int) -> Span:
        """See `Column`."""
        path = self.shards[self.shard[index]]
        return Span(path, int(self.offset[index]), int(self.size[index]))

    def take(self, indices: npt.NDArray[np.int64]) -> Spans:
        """See `Column`."""
        return Spans(self.shards, self.shard[indices], self.offset[indices], self.size[indices])


class ShardFiles(Column[PhotoFile]):
    """What is taken for photos in shards.

    Args:
        places: where they are.
        names: their names.
        labels: texts that are labels, each once.
        label: which of these each photo has, int64 [n].
    """

    def __init__(
        self, places: Spans, names: Texts, labels: Sequence[str], label: npt.NDArray[np.int64]
    ) -> None:
        self.places, self.names, self.labels, self.label = places, names, tuple(labels), label

    def __len__(self) -> int:
        return len(self.label)

    def at(self, index: int) -> PhotoFile:
        """See `Column`."""
        label = self.labels[self.label[index]]
        return PhotoFile(self.places.at(index), self.names.at(index), label)

    def take(self, indices: npt.NDArray[np.int64]) -> ShardFiles:
        """See `Column`."""
        places, names = self.places.take(indices), self.names.take(indices)
        return ShardFiles(places, names, self.labels, self.label[indices])

    def label_names(self) -> Iterable[str]:
        """Returns the label of each photo."""
        return map(self.labels.__getitem__, self.label.tolist())


@dataclass(frozen=True)
class ShardListing(Listing):
    """The photos in shards, in packed columns.

    Attributes:
        ends_read: what tells each photo from others by its size and end.
    """

    files: ShardFiles
    ends_read: Digests = field(kw_only=True)

    def label_counts(self) -> Counter[str]:
        """See `Listing`."""
        found, first, counts = np.unique(self.files.label, return_index=True, return_counts=True)
        order = np.argsort(first)
        pairs = zip(found[order].tolist(), counts[order].tolist(), strict=True)
        return Counter({self.files.labels[number]: count for number, count in pairs})

    def labels_by_upper_folder(self) -> dict[str, set[str]]:
        """See `Listing`."""
        labels: dict[str, set[str]] = defaultdict(set)
        if b"/" not in self.files.names.contents:
            return labels
        for name, label in zip(self.files.names, self.files.label_names(), strict=True):
            if name.count("/") > 1:
                labels[name.rsplit("/", 3)[-3]].add(label)
        return labels

    def relabelled(self, known: Mapping[str, str]) -> Self:
        """See `Listing`."""
        given = self.files
        texts = [known.get(label, label) for label in given.labels]  # some are not in use
        number = {label: i for i, label in enumerate(dict.fromkeys(texts))}
        label = np.array([number[text] for text in texts], np.int64)[given.label]
        return replace(self, files=ShardFiles(given.places, given.names, tuple(number), label))

    def take(self, indices: npt.NDArray[np.int64]) -> Self:
        """See `Listing`."""
        ends = self.ends_read.take(indices)
        return replace(self, files=self.files.take(indices), ends_read=ends)

    def ends(self) -> tuple[Digests, npt.NDArray[np.int64]]:
        """See `Listing`."""
        return self.ends_read, np.flatnonzero(self.files.places.size == 0)

    def photo_set(
        self, labels: Sequence[str], hashes: Sequence[str], *, checked: bool = True
    ) -> ShardPhotos:
        """See `Listing`."""
        index = {label: i for i, label in enumerate(labels)}
        numbers = np.array([index.get(label, -1) for label in self.files.labels], np.int64)
        digests = hashes if isinstance(hashes, Digests) else Digests.from_json(hashes)
        return ShardPhotos(
            self.files.places, self.files.names, numbers[self.files.label], digests, checked=checked
        )


class ShardPhotos(HashedPhotos):
    """Photos in shards; their names are the members'."""

    def has_hash(self, known: Sequence[str]) -> npt.NDArray[np.bool_]:
        """See `HashedPhotos`."""
        mine: Any = self.hashes
        found: npt.NDArray[np.bool_] = mine.is_among(
            known if isinstance(known, Digests) else Digests.from_json(known)
        )
        return found

    def subset(self, indices: Sequence[int]) -> Self:
        """Returns the photos at these indices, in this order."""
        chosen = np.asarray(indices, np.int64)
        columns = {name: getattr(self, name) for name in ("places", "names", "hashes")}
        taken = {name: column.take(chosen) for name, column in columns.items()}
        return replace(self, labels=self.labels[chosen], **taken)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values, in columns."""
        places: Any = self.places
        names: Any = self.names
        hashes: Any = self.hashes
        used = np.unique(places.shard)
        return {
            "kind": "shards",
            "shards": [quote_path(str(places.shards[number])) for number in used],
            "shard": integers_to_json(np.searchsorted(used, places.shard)),
            "offset": integers_to_json(places.offset),
            "size": integers_to_json(places.size),
            "names": names.to_json(),
            "labels": integers_to_json(self.labels),
            "sha256": hashes.to_json(),
        } | self._unchecked()

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote, now or when columns were lists; no shard is looked at."""
        shards = [Path(unquote_path(text)) for text in record["shards"]]
        where = (integers_from_json(record[name]) for name in ("shard", "offset", "size"))
        return cls(
            Spans(shards, *where),
            Texts.from_json(record["names"]),
            integers_from_json(record["labels"]),
            Digests.from_json(record["sha256"]),
            checked=record.get("checked", True),
        )
