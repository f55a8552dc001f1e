"""Batches of raw pixels for training and evaluation, prepared by threads, in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgekit.data.augmentation.augment import Augmentation
from edgekit.data.photo_files import UnreadablePhotoError
from edgekit.data.preprocessing import Preprocessing
from edgekit.system.threads import ordered_map

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
Batches = Generator[tuple[Pixels, Indices], None, None]

#: Photos in a row that training goes without.
MOST_IN_A_ROW = 8

# What a random generator is for, so that no two uses share a stream.
_ORDER, _SAMPLE = 1, 2


class TrainBatch(NamedTuple):
    """A batch of varied photos, or one process's share of it.

    Attributes:
        pixels: uint8 [n, resolution, resolution, 3], RGB.
        labels: [n, ...], of the photos as they were varied; class indices int64 [n].
        indices: int64 [n], which photos of the set they are.
    """

    pixels: Pixels
    labels: npt.NDArray[Any]
    indices: Indices


def eval_batches(
    photos: PhotoSet, preprocessing: Preprocessing, batch_size: int, *, workers: int = 2
) -> Batches:
    """Yields all photos in order, prepared as on the device; the last batch may be short.

    Args:
        photos: n photos.
        preprocessing: its `pixels` is applied, `normalize` is not.
        batch_size: photos a batch.
        workers: threads that decode and resize.

    Yields:
        Pixels, uint8 [batch, resolution, resolution, 3], and which photos they are of, int64
        [batch].
    """

    def prepare(index: int) -> Pixels:
        return preprocessing.pixels(photos.load(index))

    order = np.arange(len(photos), dtype=np.int64)
    groups = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    prepared = _prepared(prepare, groups, preprocessing.resolution, workers)
    with closing(prepared):
        for indices, pixels in zip(groups, prepared, strict=True):
            yield pixels, indices


@dataclass(frozen=True)
class Part:
    """What is read of the photos: the rest of an epoch, or a process' share of it.

    Attributes:
        seed: at least 0.
        epoch: counted from 0.
        share: (rank, world): of each batch, every world-th photo from the rank-th on. A short
            last batch may leave none for a process; it still yields that batch, empty.
        start: the first batch to yield, counted from 0; what a resumed epoch has not done yet.
    """

    seed: int
    epoch: int
    share: tuple[int, int] = (0, 1)
    start: int = 0


def train_batches(
    photos: PhotoSet,
    preprocessing: Preprocessing,
    batch_size: int,
    part: Part,
    *,
    augmentation: Augmentation,
    workers: int = 2,
    drop_last: bool = True,
    skipped: Callable[[UnreadablePhotoError], None] | None = None,
) -> Generator[TrainBatch, None, None]:
    """Yields the photos of one epoch, shuffled and varied.

    The order depends on (seed, epoch) and the variation of a photo on (seed, epoch, its index)
    alone: a resumed run, any number of workers and any number of processes give the same bytes.
    In place of a photo that cannot be read, and that nothing had checked before, is the next one.

    Args:
        photos: n photos.
        preprocessing: gives the resolution and the interpolation.
        batch_size: photos a batch, of all processes together.
        part: what of them, in an order that its seed decides.
        augmentation: how photos are varied.
        workers: threads that decode and vary.
        drop_last: leaves a short last batch out, unless it is the only one.
        skipped: called before a batch with what is wrong with a photo that it goes without.

    Yields:
        The batches, at most two of them prepared ahead.

    Raises:
        UnreadablePhotoError: several photos in a row cannot be read: the disk is gone, say.
    """
    seed, epoch = part.seed, part.epoch
    varied: dict[int, Any] = {}
    instead: dict[int, tuple[int, UnreadablePhotoError]] = {}

    def vary(index: int, used: int) -> Pixels:
        rng = np.random.default_rng((_SAMPLE, seed, epoch, index))
        pixels, varied[index] = augmentation.apply(
            lambda shrink: photos.load(used, shrink), photos.label(used), preprocessing, rng
        )
        return pixels

    def prepare(index: int) -> Pixels:
        for step in count():
            used = (index + step) % len(photos)
            try:
                return vary(index, used)
            except UnreadablePhotoError as error:
                if step == MOST_IN_A_ROW:
                    raise
                _, own = instead.get(index, (used, error))  # of those after it others speak
                instead[index] = ((used + 1) % len(photos), own)
        raise AssertionError  # `count` does not end

    rank, world = part.share
    order = np.random.default_rng((_ORDER, seed, epoch)).permutation(len(photos))
    order = order[: batch_count(len(photos), batch_size, drop_last=drop_last) * batch_size]
    groups = [
        order[first : first + batch_size][rank::world]
        for first in range(part.start * batch_size, len(order), batch_size)
    ]
    prepared = _prepared(prepare, groups, preprocessing.resolution, workers)
    with closing(prepared):
        for indices, pixels in zip(groups, prepared, strict=True):
            labels = [varied.pop(index) for index in indices.tolist()]
            none = augmentation.no_labels(preprocessing)
            for k, index in enumerate(indices.tolist() if instead else ()):
                if index in instead:
                    indices[k], error = instead.pop(index)
                    if skipped:
                        skipped(error)
            yield TrainBatch(pixels, np.stack(labels) if labels else none, indices)


def batch_count(photos: int, batch_size: int, *, drop_last: bool) -> int:
    """Returns how many batches `train_batches` yields an epoch."""
    return max(1, photos // batch_size) if drop_last else math.ceil(photos / batch_size)


def _prepared(
    prepare: Callable[[int], Pixels], groups: Sequence[Indices], resolution: int, workers: int
) -> Generator[Pixels, None, None]:
    """Prepares the photos of each group in turn, at most two groups ahead."""
    indices = chain.from_iterable(group.tolist() for group in groups)
    ahead = 2 * max(map(len, groups), default=1)
    with closing(ordered_map(prepare, indices, workers=workers, ahead=ahead)) as prepared:
        for group in groups:
            pixels = np.empty((len(group), resolution, resolution, 3), np.uint8)
            for i in range(len(group)):
                pixels[i] = next(prepared)
            yield pixels
