"""Decoded photos are kept up to the limit, and look the same whether they are kept or not."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.cache import CachedPhotos
from edgekit.data.image_set import PhotoSet
from edgekit.data.masks.shapes import MaskedShapes
from edgekit.data.splits import load_splits
from edgekit.data.synthetic import SyntheticPhotos

SIDE = 16
PHOTO_BYTES = SIDE * SIDE * 3


@pytest.fixture
def shapes() -> SyntheticPhotos:
    return SyntheticPhotos(40, 0, "train", SIDE)


@pytest.fixture
def jpegs(tmp_path: Path) -> PhotoSet:
    """Photos of 100 x 68 pixels."""
    rng = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (68, 100, 3), dtype=np.uint8)).save(path)
    return load_splits(tmp_path, None, None).train


def test_the_second_epoch_decodes_nothing(shapes: SyntheticPhotos) -> None:
    cached = CachedPhotos(shapes, 2**30)
    for _ in range(2):
        for i in range(40):
            assert cached.load(i).tobytes() == shapes.load(i).tobytes()
    assert (cached.hits, cached.misses, cached.bytes) == (40, 40, 40 * PHOTO_BYTES)


@pytest.mark.parametrize("room", [0, 1, 10])
def test_first_come_first_kept(shapes: SyntheticPhotos, room: int) -> None:
    cached = CachedPhotos(shapes, room * PHOTO_BYTES + PHOTO_BYTES - 1)
    for _ in range(3):
        for i in range(40):
            assert cached.load(i).tobytes() == shapes.load(i).tobytes()
    assert cached.bytes == room * PHOTO_BYTES
    assert (cached.hits, cached.misses) == (2 * room, 120 - 2 * room)


def test_threads(shapes: SyntheticPhotos) -> None:
    cached = CachedPhotos(shapes, 25 * PHOTO_BYTES)
    order = [int(i) for i in np.random.default_rng(0).integers(40, size=1000)]
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda i: cached.load(i).tobytes(), order))
    assert loaded == [shapes.load(i).tobytes() for i in order]
    assert cached.bytes == 25 * PHOTO_BYTES
    assert cached.hits + cached.misses == 1000


def test_a_loaded_photo_can_be_changed_without_harm(shapes: SyntheticPhotos) -> None:
    cached = CachedPhotos(shapes, 2**30)
    for _ in range(3):
        image = cached.load(5)
        assert image.tobytes() == shapes.load(5).tobytes()
        image.paste((1, 2, 3), (0, 0, SIDE, SIDE))


@pytest.mark.parametrize(
    ("keep_side", "size"),
    [(None, (100, 68)), (35, (100, 68)), (34, (50, 34)), (17, (25, 17)), (1, (13, 9))],
)
@pytest.mark.parametrize("limit", [0, 2**30])
def test_photos_look_the_same_whether_kept_or_not(
    jpegs: PhotoSet, keep_side: int | None, size: tuple[int, int], limit: int
) -> None:
    cached = CachedPhotos(jpegs, limit, keep_side)
    for times in (1, 8):
        asked: list[tuple[int, int]] = []

        def shrink(
            stored: tuple[int, int], asked: list[tuple[int, int]] = asked, times: int = times
        ) -> int:
            asked.append(stored)
            return times

        image = cached.load(3, shrink)
        assert asked == [(100, 68)]
        assert image.size == size
        assert image.tobytes() == cached.load(3).tobytes()
    assert cached.bytes == (size[0] * size[1] * 3 if limit else 0)


def test_the_rest_is_that_of_the_photos(shapes: SyntheticPhotos) -> None:
    cached: PhotoSet = CachedPhotos(shapes, 2**30)
    assert len(cached) == 40
    assert cached.names == shapes.names
    assert cached.labels.tolist() == shapes.labels.tolist()
    assert cached.digest() == shapes.digest()
    assert cached.to_dict() == shapes.to_dict()
    assert cached.subset([3, 1]).names == shapes.subset([3, 1]).names


def test_masks_are_kept_compressed_within_the_limit() -> None:
    class Counted(MaskedShapes):
        def label(self, index: int) -> Image.Image:
            counts[index] += 1
            return super().label(index)

    counts: Counter[int] = Counter()
    shapes = Counted(6, 0, "train", 64)
    cached = CachedPhotos(shapes, 2**20)
    for _ in range(3):
        for i in range(6):
            mask = cached.label(i)
            assert mask.mode == "L"
            assert mask.tobytes() == MaskedShapes(6, 0, "train", 64).label(i).tobytes()
            mask.paste(9, (0, 0, 64, 64))  # the caller's own
    assert set(counts.values()) == {1}
    assert 0 < cached.bytes < 6 * 64 * 64 / 2
    none = CachedPhotos(shapes, 10)
    none.label(0)
    assert none.bytes == 0
