"""A training photo from file to pixels; JPEGs decoded smaller look the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import places
import pytest
from PIL import Image
from prerequisites import needs

from edgekit.data.augmentation.augment import Augmentation, augment
from edgekit.data.preprocessing import Preprocessing

FLOWERS = places.SHARED / "data" / "flowers"
INPUT = Preprocessing(
    resolution=48, mean=(127, 127, 127), std=(128, 128, 128), labels=("a",), crop_fraction=1.0
)
PLAIN = Augmentation()

Load = Callable[[Callable[[tuple[int, int]], int]], Image.Image]


def smooth_photo(width: int = 643, height: int = 481) -> Image.Image:
    """Blobs of colour on a gradient."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    red = 127 + 120 * np.sin(9 * x + 4 * y)
    green = 127 + 120 * np.cos(7 * y - 5 * x * x)
    blue = 255 * np.exp(-8 * ((x - 0.4) ** 2 + (y - 0.6) ** 2))
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def full(data: bytes) -> Load:
    """A loader that cannot decode smaller, and so does not ask."""
    return lambda shrink: Image.open(io.BytesIO(data)).convert("RGB")


def smaller(data: bytes, asked: list[int]) -> Load:
    """A loader that decodes as small as it is told; `asked` gets what it was told."""

    def load(shrink: Callable[[tuple[int, int]], int]) -> Image.Image:
        image = Image.open(io.BytesIO(data))
        asked.append(shrink(image.size))
        image.draft("RGB", (image.width // asked[-1], image.height // asked[-1]))
        return image.convert("RGB")

    return load


def vary(load: Load, augmentation: Augmentation = PLAIN, seed: int = 0) -> np.ndarray:
    return augment(load, INPUT, augmentation, np.random.default_rng(seed))


def test_smaller_jpegs_look_the_same() -> None:
    data, asked = jpeg(smooth_photo()), list[int]()  # of sides that 8 does not divide
    for seed in range(20):
        reduced = vary(smaller(data, asked), seed=seed).astype(float)
        whole = vary(full(data), seed=seed)
        if asked[-1] == 1:
            assert (reduced == whole).all()
        assert abs(reduced - whole).mean() < 0.6
        assert abs(reduced - whole).max() < 6
    assert {2, 4, 8} <= set(asked)


@needs("shared", FLOWERS.is_dir())
def test_smaller_photos_look_the_same() -> None:
    paths = sorted(FLOWERS.rglob("*.jpg"))[::200]
    asked, differences = list[int](), list[np.ndarray]()
    for seed, path in enumerate(paths):
        data = path.read_bytes()
        reduced = vary(smaller(data, asked), seed=seed).astype(float)
        differences.append(reduced - vary(full(data), seed=seed))
    assert max(asked) > 1
    # Fine detail aliases a little where the crop is hardly larger than the result; it is as
    # often brighter as darker.
    assert np.mean(np.abs(differences)) < 3
    assert np.abs(differences).mean(axis=(1, 2, 3)).max() < 5
    assert abs(np.mean(differences)) < 0.5


def test_whether_the_loader_asks_makes_no_difference_at_full_size() -> None:
    image = smooth_photo(90, 70)

    def asking(shrink: Callable[[tuple[int, int]], int]) -> Image.Image:
        assert shrink(image.size) == 1
        return image

    for seed in range(10):
        np.testing.assert_array_equal(
            vary(asking, seed=seed), vary(lambda shrink: image, seed=seed)
        )


@pytest.mark.parametrize("policy", ["rand", "auto"])
def test_policies_vary_the_same_crop(policy: str) -> None:
    image = smooth_photo(90, 70)
    varied = replace(PLAIN, policy=policy)
    results = [vary(lambda shrink: image, varied, seed) for seed in range(20)]
    plain = [vary(lambda shrink: image, seed=seed) for seed in range(20)]
    assert all(r.shape == (48, 48, 3) and r.dtype == np.uint8 for r in results)
    assert sum((a != b).any() for a, b in zip(results, plain, strict=True)) >= 12
    again = [vary(lambda shrink: image, varied, seed) for seed in range(20)]
    np.testing.assert_array_equal(results, again)
    if policy == "rand":
        none = replace(varied, layers=0)
        np.testing.assert_array_equal([vary(lambda s: image, none, i) for i in range(20)], plain)


def test_erasing_comes_last() -> None:
    image = smooth_photo(90, 70)
    erased = vary(lambda shrink: image, replace(PLAIN, erasing=1.0))
    changed = (erased != vary(lambda shrink: image)).any(axis=-1)
    assert 0.01 < changed.mean() < 0.35


def test_an_unknown_policy() -> None:
    with pytest.raises(ValueError, match="trivial"):
        Augmentation(policy="trivial")
