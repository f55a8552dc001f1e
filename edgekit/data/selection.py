"""Which photos go where: choices that depend on names alone, so that they can be made again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgekit.data.columns import Texts
from edgekit.data.photo_files import HashedPhotos
from edgekit.errors import UsageError

Photos = TypeVar("Photos", bound=HashedPhotos)


def split_validation(photos: Photos, fraction: float) -> tuple[Photos, Photos]:
    """Holds photos of each class back for validation, in the order of their names' SHA-256.

    A class gives ``fraction`` of its photos and at least one, unless it has no more than one. As
    the order is that of the names' hashes, added photos move few others.

    Returns:
        The training and the validation photos.

    Raises:
        UsageError: no class has a photo to spare.
    """
    ranks = _ranks_in_class(_places_by_hash(photos.names), photos.labels)
    _, which, sizes = np.unique(photos.labels, return_inverse=True, return_counts=True)
    counts = [0 if n < 2 else max(1, round(fraction * n)) for n in sizes.tolist()]
    held = np.flatnonzero(ranks < np.array(counts)[which])
    if not len(held):
        raise UsageError(
            "there are too few photos to hold some back for validation",
            cause="no class has more than one photo",
            hint="give --val",
        )
    rest = np.setdiff1d(np.arange(len(photos)), held)
    return photos.subset(rest.tolist()), photos.subset(held.tolist())


def without(photos: Photos, hashes: Sequence[str]) -> Photos:
    """Leaves out the photos whose contents have one of these hashes."""
    known = photos.has_hash(hashes)
    return photos.subset(np.flatnonzero(~known).tolist()) if known.any() else photos


def remove_overlap(train: Photos, val: HashedPhotos) -> tuple[Photos, list[str]]:
    """Takes validation photos, known by their contents, out of the training photos.

    A class that would have no photo left keeps them all.

    Returns:
        The training photos, and what the user should know about it.
    """
    shared = train.has_hash(val.hashes)
    needed = shared & ~np.isin(train.labels, train.labels[~shared])
    dropped = shared & ~needed
    notes = []
    if dropped.any():
        notes.append(
            "left out of training, as they are in the validation set too: "
            f"{dropped.sum()} of {len(train)} photos"
        )
    if needed.any():
        classes = len(np.unique(train.labels[needed]))
        notes.append(
            f"{needed.sum()} photos are in both the training and the validation set, as their "
            f"{classes} classes have no others: once trained on them, the accuracy means nothing"
        )
    return train.subset(np.flatnonzero(~dropped).tolist()) if dropped.any() else train, notes


def evenly(length: int, count: int) -> list[int]:
    """Numbers of ``count`` of ``length`` photos, or of all: evenly spread over the whole list.

    Lists are often in the order of their classes, and the first photos of such a one are of few.
    """
    return [int(k) for k in np.linspace(0, length - 1, min(count, length)).round()]


def spread(names: Sequence[str], labels: npt.NDArray[np.int64], count: int, seed: int) -> list[int]:
    """Chooses ``count`` photos (or all, if fewer), as evenly over the classes as they allow.

    Returns:
        The indices, ascending.
    """
    # Rounds of one photo a class; within a round, the order is that of the photos' hashes.
    sizes = np.unique(labels, return_counts=True)[1]
    rounds = next((n for n in range(1, count + 1) if np.minimum(sizes, n).sum() >= count), count)
    places = _places_by_hash(names, f"{seed}\0")
    ranks = _ranks_in_class(places, labels)
    first = np.flatnonzero(ranks < rounds)
    return sorted(first[np.lexsort((places[first], ranks[first]))][:count].tolist())


def _ranks_in_class(
    places: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Returns how many of each photo's class come before it, int64 [n].

    Args:
        places: of each photo in the order of all, int64 [n].
        labels: the class indices, int64 [n].
    """
    order = np.lexsort((places, labels))
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return ranks


def _places_by_hash(names: Sequence[str], salt: str = "") -> npt.NDArray[np.int64]:
    """Returns the place of each name in the order of their salted SHA-256, int64 [n]."""
    before = salt.encode()
    encoded = names.encoded() if isinstance(names, Texts) else (name.encode() for name in names)
    hashes = b"".join([hashlib.sha256(before + name).digest() for name in encoded])
    words = np.frombuffer(hashes, ">u8").astype(np.uint64).reshape(-1, 4)
    order = np.argsort(words[:, 0])
    if (np.diff(words[order, 0]) == 0).any():  # two begin alike
        order = np.lexsort(words.T[::-1])
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places
