"""What every set of images offers, whatever it is read from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.images import Shrink


class PhotoSet(Protocol):
    """Labelled photos by index: what every stage takes.

    Attributes:
        names: stable, printable identifiers (relative posix paths, or synthetic ids).
        labels: int64 [n], the class index, -1 where it is not known or photos have no such.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def labels(self) -> npt.NDArray[np.int64]: ...
    def __len__(self) -> int: ...
    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        """Returns one photo: mode RGB, upright, in memory.

        It is of full size, or smaller where ``shrink`` was asked and allows it (see
        `edgekit.data.images.decode_image`); it need not be asked.
        """

    def label(self, index: int) -> Any:
        """Returns the label of one photo: its class index, int64.

        Of a set with masks, the mask: a `PIL.Image.Image` of mode L and the photo's full size
        whose values are class indices, 255 where a pixel is of none. Of a set with boxes, these:
        an `edgekit.data.boxes.boxes.Boxes` in pixels of the photo's full size.
        """

    def digest(self) -> str:
        """Returns a SHA-256 over names, labels and contents, in hex."""

    def subset(self, indices: Sequence[int]) -> PhotoSet:
        """Returns the photos at these indices, in this order."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values from which the set can be made again without a scan."""


@dataclass(frozen=True, eq=False)
class ConcatenatedPhotos:
    """Several sets as one; a `edgekit.data.image_set.PhotoSet`.

    Attributes:
        parts: the sets, in order.
    """

    parts: tuple[PhotoSet, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Those of the parts."""
        return tuple(name for part in self.parts for name in part.names)

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """Int64 [n], the class index, -1 where it is not known."""
        return np.concatenate([np.empty(0, np.int64), *(part.labels for part in self.parts)])

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        return np.cumsum([0, *map(len, self.parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _place(self, index: int) -> tuple[int, int]:
        """Which part a photo is in, and its index there."""
        part = int(np.searchsorted(self._starts, index, "right")) - 1
        return part, index - int(self._starts[part])

    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        """Returns one photo: mode RGB, upright; see `edgekit.data.image_set.PhotoSet`."""
        part, within = self._place(index)
        return self.parts[part].load(within, shrink)

    def label(self, index: int) -> Any:
        """Returns the label of one photo; see `edgekit.data.image_set.PhotoSet`."""
        part, within = self._place(index)
        return self.parts[part].label(within)

    def digest(self) -> str:
        """Returns a SHA-256 over names, labels and contents, in hex."""
        return hashlib.sha256(" ".join(part.digest() for part in self.parts).encode()).hexdigest()

    def subset(self, indices: Sequence[int]) -> ConcatenatedPhotos:
        """Returns the photos at these indices, in this order: a part for each run of one set."""
        runs = groupby(map(self._place, indices), key=itemgetter(0))
        return ConcatenatedPhotos(
            tuple(self.parts[part].subset([within for _, within in run]) for part, run in runs)
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values from which the set can be made again."""
        return {"kind": "joined", "parts": [part.to_dict() for part in self.parts]}

    @classmethod
    def from_dict(
        cls, record: Mapping[str, Any], read: Callable[[Mapping[str, Any]], PhotoSet]
    ) -> ConcatenatedPhotos:
        """Reads what `to_dict` wrote; ``read`` makes a part of its record."""
        return cls(tuple(read(part) for part in record["parts"]))
