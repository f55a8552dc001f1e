"""Which photos go where: choices that depend on names alone, so that they can be made again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgekit.data.folders import HashedPhotos
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
    held: list[int] = []
    for members in _by_class(photos.names, photos.labels).values():
        held += members[: 0 if len(members) < 2 else max(1, round(fraction * len(members)))]
    if not held:
        raise UsageError(
            "there are too few photos to hold some back for validation",
            cause="no class has more than one photo",
            hint="give --val",
        )
    rest = np.setdiff1d(np.arange(len(photos)), held)
    return photos.subset(rest.tolist()), photos.subset(sorted(held))


def without(photos: Photos, hashes: Iterable[str]) -> Photos:
    """Leaves out the photos whose contents have one of these hashes."""
    known = set(hashes)
    return photos.subset([i for i, content in enumerate(photos.hashes) if content not in known])


def remove_overlap(train: Photos, val: HashedPhotos) -> tuple[Photos, list[str]]:
    """Takes validation photos, known by their contents, out of the training photos.

    A class that would have no photo left keeps them all.

    Returns:
        The training photos, and what the user should know about it.
    """
    held = set(val.hashes)
    shared = np.array([content in held for content in train.hashes], bool)
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
    classes = _by_class(names, labels, f"{seed}\0").values()
    ranked = [(rank, i) for members in classes for rank, i in enumerate(members[:rounds])]
    ranked.sort(key=lambda entry: (entry[0], _hash(f"{seed}\0{names[entry[1]]}")))
    return sorted(i for _, i in ranked[:count])


def _by_class(
    names: Sequence[str], labels: npt.NDArray[np.int64], salt: str = ""
) -> dict[int, list[int]]:
    """Groups indices by class, each group in the order of the names' salted hashes."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index in sorted(range(len(names)), key=lambda i: _hash(salt + names[i])):
        groups[int(labels[index])].append(index)
    return groups


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
