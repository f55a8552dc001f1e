"""Labelled photos in shards, in packed columns: ImageNet's take a hundred megabytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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
from edgekit.data.folders import HashedPhotos, Place, Span
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

    @classmethod
    def pack(cls, spans: Iterable[Span]) -> Spans:
        """Packs parts."""
        paths, offset, size = zip(*spans, strict=True) if (spans := list(spans)) else ((), (), ())
        number = {path: i for i, path in enumerate(dict.fromkeys(paths))}
        shard = np.fromiter((number[path] for path in paths), np.int64, len(paths))
        return cls(tuple(number), shard, np.array(offset, np.int64), np.array(size, np.int64))

    def __len__(self) -> int:
        return len(self.shard)

    def at(self, index: int) -> Span:
        """See `Column`."""
        path = self.shards[self.shard[index]]
        return Span(path, int(self.offset[index]), int(self.size[index]))

    def take(self, indices: npt.NDArray[np.int64]) -> Spans:
        """See `Column`."""
        return Spans(self.shards, self.shard[indices], self.offset[indices], self.size[indices])


class ShardPhotos(HashedPhotos):
    """Photos in shards; their names are the members'."""

    @classmethod
    def pack(
        cls,
        spans: Iterable[Span],
        names: Iterable[str],
        labels: npt.NDArray[np.int64],
        hashes: Iterable[str],
        *,
        checked: bool = True,
    ) -> Self:
        """Packs what `HashedPhotos` holds."""
        digests = Digests.from_json("".join(hashes))
        return cls(Spans.pack(spans), Texts.pack(names), labels, digests, checked=checked)

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
