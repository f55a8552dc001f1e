"""Decoded photos in memory, so that only the first epoch decodes them."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.images import Shrink

_CHANNELS = 3  # bytes a pixel; PIL's own images take 4
_Size = tuple[int, int]


class CachedPhotos:
    """A `PhotoSet` that keeps decoded photos and masks up to a limit; safe for threads.

    First come, first kept, and kept for good: an epoch visits every photo once, so that the least
    recently used photo, which other caches drop, is the one that comes next.

    What a photo looks like does not depend on what happens to be kept: all are decoded alike, in
    full or as ``keep_side`` says, whatever the caller would allow. With a limit that is far too
    low for the photos, this is slower than no cache.

    Args:
        photos: those to keep.
        limit_bytes: of pixels, at 3 bytes each, and of masks, which are kept compressed; what
            Python needs besides is not counted.
        keep_side: the shorter side in pixels that suffices. A JPEG is then decoded smaller, by 2,
            4 or 8, as long as its shorter side stays at least that. None decodes in full.

    Attributes:
        hits: loads that were answered from memory.
        misses: loads that were not.
        bytes: of the pixels and masks that are kept.
    """

    def __init__(self, photos: PhotoSet, limit_bytes: int, keep_side: int | None = None) -> None:
        self.hits = self.misses = self.bytes = 0
        self._photos = photos
        self._limit = limit_bytes
        self._keep_side = keep_side
        self._kept: dict[int, tuple[_Size, _Size, bytes]] = {}  # size as stored, size, pixels
        self._masks: dict[int, tuple[_Size, bytes]] = {}  # size, compressed classes
        self._lock = threading.Lock()

    @property
    def names(self) -> Sequence[str]:
        """The names of the photos."""
        return self._photos.names

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class indices, int64 [n]."""
        return self._photos.labels

    def __len__(self) -> int:
        return len(self._photos)

    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        """Returns one photo: mode RGB, upright, the caller's own to change.

        Args:
            index: of the photo.
            shrink: told the (width, height) as stored; what it returns makes no difference.
        """
        with self._lock:
            kept = self._kept.get(index)
            self.hits += kept is not None
            self.misses += kept is None
        if kept is not None:
            stored, size, pixels = kept
            image = Image.frombytes("RGB", size, pixels)
        else:
            stored, image = self._decode(index)
            self._keep(index, stored, image)
        if shrink is not None:
            shrink(stored)
        return image

    def _decode(self, index: int) -> tuple[_Size, Image.Image]:
        """Returns the size as stored, and the photo."""
        told: list[_Size] = []

        def shrink(size: _Size) -> int:
            told.append(size)
            return self._times(size)

        image = self._photos.load(index, shrink)
        return (told[0] if told else image.size), image

    def _times(self, size: _Size) -> int:
        if self._keep_side is None:
            return 1
        return next((t for t in (8, 4, 2) if min(size) >= t * self._keep_side), 1)

    def _keep(self, index: int, stored: _Size, image: Image.Image) -> None:
        needed = image.width * image.height * _CHANNELS
        with self._lock:
            if index in self._kept or self.bytes + needed > self._limit:
                return
            self.bytes += needed
            self._kept[index] = stored, image.size, image.tobytes()

    def label(self, index: int) -> Any:
        """Returns the label of one photo; a mask is the caller's own to change."""
        with self._lock:
            kept = self._masks.get(index)
        if kept is not None:
            size, packed = kept
            return Image.frombytes("L", size, zlib.decompress(packed))
        label = self._photos.label(index)
        if isinstance(label, Image.Image):
            self._keep_mask(index, label)
        return label

    def _keep_mask(self, index: int, mask: Image.Image) -> None:
        # Large areas of one class: a twentieth of the size at the least level.
        packed = zlib.compress(mask.tobytes(), 1)
        with self._lock:
            if index in self._masks or self.bytes + len(packed) > self._limit:
                return
            self.bytes += len(packed)
            self._masks[index] = mask.size, packed

    def digest(self) -> str:
        """Returns the SHA-256 over names, labels and contents, in hex."""
        return self._photos.digest()

    def subset(self, indices: Sequence[int]) -> PhotoSet:
        """Returns the photos at these indices, in this order; they are not kept."""
        return self._photos.subset(indices)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record of the photos; that they are kept is no part of it."""
        return self._photos.to_dict()
