"""Random erasing: how often, how much, with what."""

from __future__ import annotations

import numpy as np

from edgekit.data.augmentation.erasing import erase


def erased(seed: int, probability: float = 1.0, side: int = 64) -> np.ndarray:
    """Which pixels of a photo were overwritten (but for one in 16 million by chance)."""
    pixels = np.full((side, side, 3), 77, np.uint8)
    result = erase(pixels, probability, np.random.default_rng(seed))
    assert result is pixels
    return (pixels != 77).any(axis=-1)


def test_never_and_always() -> None:
    rng = np.random.default_rng(0)
    pixels = np.zeros((8, 8, 3), np.uint8)
    erase(pixels, 0.0, rng)
    assert not pixels.any()
    assert rng.random() == np.random.default_rng(0).random()  # nothing was drawn
    assert all(erased(seed).any() for seed in range(100))


def test_the_probability() -> None:
    share = np.mean([erased(seed, 0.3).any() for seed in range(500)])
    assert 0.24 < share < 0.36


def test_one_rectangle_within_the_bounds() -> None:
    areas, ratios = [], []
    for seed in range(200):
        rows, columns = np.nonzero(erased(seed))
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == h * w
        areas.append(h * w / 64**2)
        ratios.append(w / h)
    # Sides are whole pixels: each may be off by half a pixel of about ten.
    assert 0.015 < min(areas) < 0.05
    assert 0.28 < max(areas) < 0.35
    assert 0.25 < min(ratios) < 0.5
    assert 2.0 < max(ratios) < 3.9
    assert 0.8 < np.exp(np.mean(np.log(ratios))) < 1.25


def test_the_noise_is_uniform_and_of_each_pixel() -> None:
    pixels = np.zeros((256, 256, 3), np.uint8)
    erase(pixels, 1.0, np.random.default_rng(4))
    noise = pixels[pixels.any(axis=-1)].astype(float)
    assert len(noise) > 1000
    assert np.abs(noise.mean(axis=0) - 127.5).max() < 8
    assert np.abs(noise.std(axis=0) - 256 / 12**0.5).max() < 8
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.1


def test_small_photos() -> None:
    for seed in range(20):
        for height, width in ((1, 1), (1, 50), (3, 2)):
            erase(np.zeros((height, width, 3), np.uint8), 1.0, np.random.default_rng(seed))


def test_what_is_erased_is_of_no_class() -> None:
    pixels, mask = np.full((64, 64, 3), 77, np.uint8), np.zeros((64, 64), np.uint8)
    erase(pixels, 1.0, np.random.default_rng(3), mask)
    np.testing.assert_array_equal(mask == 255, (pixels != 77).any(axis=-1))
