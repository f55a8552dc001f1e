"""Photos and masks are varied alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation.masked import MaskedAugmentation
from edgekit.data.batches import Part, train_batches
from edgekit.data.cache import CachedPhotos
from edgekit.data.image_set import PhotoSet
from edgekit.data.masks.shapes import LABELS, MaskedShapes
from edgekit.data.preprocessing import Preprocessing

INPUT = Preprocessing(
    32, (120, 130, 140), (1, 1, 1), LABELS, interpolation="bilinear", task="x", fit="pad"
)
PLAIN = MaskedAugmentation(crop_area=(1.0, 1.0), flip=False)
PHOTOS = MaskedShapes(12, 0, "train", 40)


def two_halves(size: tuple[int, int] = (60, 40)) -> tuple[Image.Image, Image.Image]:
    """A photo that shows its mask: class 1 is white and class 0 is black, at a slant."""
    width, height = size
    classes = np.add.outer(np.arange(height), np.arange(width)) > (width + height) / 2
    photo = np.repeat(255 * classes[..., None], 3, -1).astype(np.uint8)
    return Image.fromarray(photo), Image.fromarray(classes.astype(np.uint8))


def apply(
    augmentation: MaskedAugmentation, seed: int, preprocessing: Preprocessing = INPUT
) -> tuple[np.ndarray, np.ndarray]:
    photo, mask = two_halves()
    rng = np.random.default_rng(seed)
    return augmentation.apply(lambda shrink: photo, mask, preprocessing, rng)


@pytest.mark.parametrize("fit", ["pad", "stretch", "crop"])
def test_a_mask_is_where_the_photo_shows_it(fit: str) -> None:
    for seed in range(60):
        pixels, mask = apply(MaskedAugmentation(), seed, replace(INPUT, fit=fit))
        assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
        assert (mask.shape, mask.dtype) == ((32, 32), np.uint8)
        shown = mask != 255
        assert (pixels[~shown] == INPUT.margin).all()
        # At the edge a pixel is a mix of both, and more than half of it may be either.
        clear = shown & (np.abs(pixels[..., 0].astype(int) - 127) > 70)
        assert clear.sum() > 0.7 * shown.sum()
        np.testing.assert_array_equal(pixels[clear][:, 0] > 127, mask[clear] == 1)


def test_margins_are_of_no_class_and_parts_are_not_lost() -> None:
    shares = np.array([(apply(MaskedAugmentation(), seed)[1] != 255).mean() for seed in range(200)])
    assert 0.1 < shares.min() < 0.25  # half the scale, a quarter of a photo that fills two thirds
    assert shares.max() == 1
    for seed in range(5):
        _, mask = apply(PLAIN, seed)
        assert (mask != 255).mean() == pytest.approx(21 / 32)


def test_every_second_photo_is_mirrored_with_its_mask() -> None:
    straight = [apply(PLAIN, seed) for seed in range(100)]
    mirrored = [apply(replace(PLAIN, flip=True), seed) for seed in range(100)]
    count = 0
    for (pixels, mask), (flipped, flipped_mask) in zip(straight, mirrored, strict=True):
        if not (flipped == pixels).all():
            np.testing.assert_array_equal(flipped, pixels[:, ::-1])
            np.testing.assert_array_equal(flipped_mask, mask[:, ::-1])
            count += 1
    assert 35 < count < 65


@pytest.mark.parametrize("policy", ["rand", "auto"])
def test_policies_change_colors_and_move_nothing(policy: str) -> None:
    changed = 0
    for seed in range(60):
        pixels, mask = apply(PLAIN, seed)
        varied, same = apply(replace(PLAIN, policy=policy), seed)
        np.testing.assert_array_equal(same, mask)
        assert (varied[mask == 255] == INPUT.margin).all()
        inside = mask != 255
        changed += not (varied == pixels).all()
        # One colour becomes one other, but where Sharpness draws the edge out.
        white = varied[inside & (mask == 1)][:, 0]
        assert (white == np.median(white)).mean() > 0.8
    assert changed > 5


def test_what_is_erased_is_of_no_class() -> None:
    for seed in range(20):
        pixels, mask = apply(replace(PLAIN, erasing=1.0), seed)
        before, classes = apply(PLAIN, seed)
        erased = (pixels != before).any(axis=-1)
        assert erased.any()
        assert (mask[erased] == 255).all()
        assert (mask != classes).sum() <= erased.sum()


def content(photos: PhotoSet, **given: object) -> bytes:
    augmentation = MaskedAugmentation(policy="rand", erasing=0.5)
    batches = train_batches(
        photos,
        INPUT,
        4,
        Part(0, 1, **given.pop("part", {})),  # type: ignore[arg-type]
        augmentation=augmentation,
        **given,  # type: ignore[arg-type]
    )
    return b"".join(batch.pixels.tobytes() + batch.labels.tobytes() for batch in batches)


@pytest.mark.parametrize(
    "wrap", [lambda photos: photos, lambda photos: CachedPhotos(photos, 10**6)]
)
def test_batches_are_the_same_for_any_number_of_workers(
    wrap: Callable[[PhotoSet], PhotoSet],
) -> None:
    assert content(wrap(PHOTOS), workers=1) == content(PHOTOS, workers=5)


def test_a_share_of_a_short_batch_may_be_empty() -> None:
    part = Part(0, 0, share=(2, 3))
    given = {"augmentation": MaskedAugmentation(), "drop_last": False}
    *_, last = train_batches(PHOTOS, INPUT, 11, part, **given)  # type: ignore[arg-type]
    assert [array.shape for array in last] == [(0, 32, 32, 3), (0, 32, 32), (0,)]
    assert [array.dtype for array in last] == [np.uint8, np.uint8, np.int64]


def test_shares_of_several_processes_make_up_the_batches() -> None:
    def batches(**part: object) -> list[np.ndarray]:
        given = Part(0, 1, **part)  # type: ignore[arg-type]
        found = train_batches(PHOTOS, INPUT, 4, given, augmentation=MaskedAugmentation())
        return [batch.labels for batch in found]

    whole, first, second = batches(), batches(share=(0, 2)), batches(share=(1, 2))
    assert [labels.shape for labels in whole] == [(4, 32, 32)] * 3
    assert whole[0].dtype == np.uint8
    for labels, even, odd in zip(whole, first, second, strict=True):
        np.testing.assert_array_equal(labels[::2], even)
        np.testing.assert_array_equal(labels[1::2], odd)
