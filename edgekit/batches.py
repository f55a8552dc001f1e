"""Batches of raw pixels for training and evaluation, prepared by threads, in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.parallel import ordered_map
from edgekit.preprocessing import RESAMPLING, Preprocessing

if TYPE_CHECKING:
    from edgekit.data import PhotoSet

Pixels = npt.NDArray[np.uint8]
Batches = Generator[tuple[Pixels, npt.NDArray[np.int64]], None, None]

# What a random generator is for, so that no two uses share a stream.
_ORDER, _SAMPLE = 1, 2


@dataclass(frozen=True)
class Augmentation:
    """How training photos are varied.

    Attributes:
        crop_area: the least and the most area of a crop, over that of the photo.
        crop_ratio: the least and the most width over height of a crop.
        flip: whether every second photo is mirrored.
    """

    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True


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
        Pixels, uint8 [batch, resolution, resolution, 3], and labels, int64 [batch].
    """

    def prepare(index: int) -> Pixels:
        return preprocessing.pixels(photos.load(index))

    order = np.arange(len(photos), dtype=np.int64)
    return _batches(prepare, order, photos.labels, batch_size, workers)


def train_batches(
    photos: PhotoSet,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    augmentation: Augmentation,
    workers: int = 2,
    drop_last: bool = True,
) -> Batches:
    """Yields the photos of one epoch, shuffled and varied.

    The order depends on (seed, epoch) and the variation of a photo on (seed, epoch, its index)
    alone: a resumed run and any number of workers give the same bytes.

    Args:
        photos: n photos.
        preprocessing: gives the resolution and the interpolation.
        batch_size: photos a batch.
        seed: at least 0.
        epoch: counted from 0.
        augmentation: how photos are varied.
        workers: threads that decode and resize.
        drop_last: leaves a short last batch out, unless it is the only one.

    Yields:
        Pixels, uint8 [batch, resolution, resolution, 3], and labels, int64 [batch].
    """

    def prepare(index: int) -> Pixels:
        rng = np.random.default_rng((_SAMPLE, seed, epoch, index))
        return augment(photos.load(index), preprocessing, augmentation, rng)

    order = np.random.default_rng((_ORDER, seed, epoch)).permutation(len(photos))
    order = order[: batch_count(len(photos), batch_size, drop_last=drop_last) * batch_size]
    return _batches(prepare, order, photos.labels, batch_size, workers)


def batch_count(photos: int, batch_size: int, *, drop_last: bool) -> int:
    """Returns how many batches `train_batches` yields an epoch."""
    return max(1, photos // batch_size) if drop_last else math.ceil(photos / batch_size)


def augment(
    image: Image.Image,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Pixels:
    """Cuts a random rectangle out, resizes it to the network's input, and perhaps mirrors it.

    Returns:
        uint8 [resolution, resolution, 3], RGB.
    """
    size = (preprocessing.resolution, preprocessing.resolution)
    box = _random_box(image.width, image.height, augmentation, rng)
    crop = image.resize(size, RESAMPLING[preprocessing.interpolation], box=box)
    if augmentation.flip and rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(crop)


def _random_box(
    width: int, height: int, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draws the crop of Inception training (Szegedy et al. 2014, section 6).

    Area uniform, aspect ratio log-uniform; after ten rectangles that do not fit, the largest one
    in the centre whose ratio is allowed.
    """
    lowest, highest = augmentation.crop_ratio
    for _ in range(10):
        area = rng.uniform(*augmentation.crop_area) * width * height
        ratio = math.exp(rng.uniform(math.log(lowest), math.log(highest)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(rng.random() * (width - w + 1))
            top = int(rng.random() * (height - h + 1))
            return left, top, left + w, top + h
    w = max(1, min(width, round(height * highest)))
    h = max(1, min(height, round(width / lowest)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _batches(
    prepare: Callable[[int], Pixels],
    order: Sequence[int] | npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    batch_size: int,
    workers: int,
) -> Batches:
    """Prepares photos in this order, at most two batches ahead."""
    indices = [int(i) for i in order]
    ahead = 2 * batch_size
    with closing(ordered_map(prepare, indices, workers=workers, ahead=ahead)) as prepared:
        for start in range(0, len(indices), batch_size):
            members = indices[start : start + batch_size]
            pixels = np.stack([next(prepared) for _ in members])
            yield pixels, labels[members]
