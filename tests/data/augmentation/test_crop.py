"""Crops are drawn once, from the full size, whatever size the photo is then loaded at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation.crop import RandomCrop, random_box, random_crop_box

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
WHOLE = (1.0, 1.0)


def crop(resolution: int, area: tuple[float, float] = WHOLE, seed: int = 0) -> RandomCrop:
    return RandomCrop(resolution, area, RATIO, np.random.default_rng(seed))


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def test_the_draws_of_a_seed_stay() -> None:
    """A run begun with an earlier version resumes with the same crops."""
    boxes = [random_crop_box((400, 300), AREA, RATIO, np.random.default_rng(i)) for i in range(3)]
    assert boxes == [(242, 149, 345, 286), (15, 71, 308, 297), (175, 8, 360, 216)]


def test_boxes_are_within_bounds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        box = random_box((400, 300), AREA, RATIO, rng)
        assert box is not None
        left, top, right, bottom = box
        assert 0 <= left < right <= 400
        assert 0 <= top < bottom <= 300
        w, h = right - left, bottom - top
        assert 0.079 < w * h / (400 * 300) <= 1
        assert 0.74 < w / h < 1.35


def test_a_box_that_cannot_fit_is_none_and_its_crop_the_centre() -> None:
    rng = np.random.default_rng(0)
    assert random_box((400, 20), WHOLE, RATIO, rng) is None
    assert random_crop_box((400, 20), WHOLE, RATIO, rng) == (186, 0, 213, 20)


@pytest.mark.parametrize(
    ("side", "expected"), [(99, 1), (100, 1), (199, 1), (200, 2), (400, 4), (799, 4), (3000, 8)]
)
def test_shrink_leaves_at_least_the_resolution(side: int, expected: int) -> None:
    square = RandomCrop(100, WHOLE, (1.0, 1.0), np.random.default_rng(0))
    assert square.shrink((side, side)) == expected


def test_shrink_looks_at_the_crop_not_at_the_photo() -> None:
    for seed in range(50):
        drawn = crop(60, AREA, seed)
        n = drawn.shrink((1200, 900))
        left, top, right, bottom = random_crop_box(
            (1200, 900), AREA, RATIO, np.random.default_rng(seed)
        )
        side = min(right - left, bottom - top)
        assert n in (1, 2, 4, 8)
        assert n == 1 or side >= n * 60
        assert n == 8 or side < 2 * n * 60


def test_at_full_size_it_makes_no_difference_who_asks_first() -> None:
    image = noise(400, 300)
    for seed in range(20):
        asked, unasked = crop(32, AREA, seed), crop(32, AREA, seed)
        asked.shrink(image.size)
        box = random_crop_box(image.size, AREA, RATIO, np.random.default_rng(seed))
        plain = image.resize((32, 32), Image.Resampling.BICUBIC, box=box).tobytes()
        assert asked.resize(image, Image.Resampling.BICUBIC).tobytes() == plain
        assert unasked.resize(image, Image.Resampling.BICUBIC).tobytes() == plain


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_the_box_scales_with_the_loaded_size_and_stays_inside(n: int) -> None:
    """Sizes that no power of two divides, and crops that touch the edges."""
    for width, height in ((333, 251), (1021, 767), (8, 9)):
        loaded = Image.new("RGB", (-(-width // n), -(-height // n)), "red")
        for seed in range(20):
            drawn = crop(8, (0.9, 1.0), seed)
            drawn.shrink((width, height))
            assert drawn.resize(loaded, Image.Resampling.BICUBIC).getpixel((4, 4)) == (255, 0, 0)


def test_a_photo_loaded_smaller_shows_the_same_crop() -> None:
    across, down = np.meshgrid(np.linspace(0, 255, 640), np.linspace(0, 255, 480))
    image = Image.fromarray(np.stack([across, down, 0 * down], axis=-1).astype(np.uint8))
    for seed in range(10):
        full, half = crop(32, AREA, seed), crop(32, AREA, seed)
        half.shrink(image.size)
        found = np.asarray(half.resize(image.reduce(2), Image.Resampling.BICUBIC), np.int64)
        expected = np.asarray(full.resize(image, Image.Resampling.BICUBIC), np.int64)
        assert abs(found - expected).max() <= 2
