"""Photos on disk with their boxes, served by index."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.photo_files import FilePhotos

if TYPE_CHECKING:
    from typing_extensions import Self

#: How columns of boxes are in records: of little-endian numbers.
_COLUMNS = {"corners": "<f4", "classes": "<i4", "crowds": "|b1", "areas": "<f8"}


@dataclass(frozen=True, eq=False)
class BoxedPhotos(FilePhotos):
    """Photos with boxes; a `edgekit.data.image_set.PhotoSet`.

    Attributes:
        boxes: those of each photo, perhaps none, in pixels of the upright photo.
        sizes: width and height of each upright photo.
    """

    boxes: tuple[Boxes, ...]
    sizes: tuple[tuple[int, int], ...]

    def label(self, index: int) -> Boxes:
        """Returns the boxes of one photo."""
        return self.boxes[index]

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of one photo, which is not read for it."""
        return self.sizes[index]

    def digest(self) -> str:
        """Returns the SHA-256 over names, contents and boxes, in hex."""
        counts = [len(one) for one in self.boxes]
        digest = hashlib.sha256(f"{super().digest()} {counts}\n".encode())
        for column in self._columns().values():
            digest.update(column)
        return digest.hexdigest()

    def _columns(self) -> dict[str, bytes]:
        """The boxes of all photos, one after the other, by attribute."""
        nothing = make_boxes([], [])  # there may be no photo
        return {
            name: np.concatenate([getattr(one, name).ravel() for one in (nothing, *self.boxes)])
            .astype(kind)
            .tobytes()
            for name, kind in _COLUMNS.items()
        }

    def subset(self, indices: Sequence[int]) -> Self:
        """Returns the photos at these indices, in this order."""
        return replace(
            super().subset(indices),
            boxes=tuple(self.boxes[i] for i in indices),
            sizes=tuple(self.sizes[i] for i in indices),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values, in columns; those of boxes are bytes in base 64.

        A data set has a million numbers of boxes, which as text would be a line each.
        """
        return super().to_dict() | {
            "kind": "boxed",
            "sizes": [f"{width}x{height}" for width, height in self.sizes],
            "counts": [len(one) for one in self.boxes],
            "boxes": {
                name: base64.b64encode(column).decode("ascii")
                for name, column in self._columns().items()
            },
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> BoxedPhotos:
        """Reads what `to_dict` wrote; the files are not looked at."""
        photos = FilePhotos.from_dict(record)
        columns = {
            name: np.frombuffer(base64.b64decode(record["boxes"][name]), kind)
            for name, kind in _COLUMNS.items()
        }
        whole = Boxes(
            columns["corners"].reshape(-1, 4).astype(np.float32),
            columns["classes"].astype(np.int64),
            columns["crowds"].astype(np.bool_),
            columns["areas"].astype(np.float64),
        )
        ends = np.cumsum([0, *record["counts"]])
        if ends[-1] != len(whole):
            raise ValueError(f"{len(whole)} boxes, where photos have {ends[-1]}")
        return cls(
            places=photos.places,
            names=photos.names,
            labels=photos.labels,
            hashes=photos.hashes,
            boxes=tuple(whole.take(np.arange(*pair)) for pair in pairwise(ends.tolist())),
            sizes=tuple(_size(text) for text in record["sizes"]),
        )


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height
