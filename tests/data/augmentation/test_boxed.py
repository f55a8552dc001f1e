"""Photos and boxes are varied alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation.boxed import BoxedAugmentation
from edgekit.data.batches import Part, train_batches
from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.boxes.shapes import LABELS, BoxedShapes
from edgekit.data.boxes.targets import MOST, to_targets
from edgekit.data.cache import CachedPhotos
from edgekit.data.preprocessing import Preprocessing

INPUT = Preprocessing(
    64, (120, 130, 140), (1, 1, 1), LABELS, interpolation="bilinear", task="x", fit="stretch"
)
PLAIN = BoxedAugmentation(crop_area=(1.0, 1.0), flip=False)
PHOTOS = BoxedShapes(12, 0, "train", 40)
#: Of a photo of 120 x 80: what is white in it.
WHITE = [[8, 12, 40, 60], [48, 90, 76, 114]]


def photo_and_boxes() -> tuple[Image.Image, Boxes]:
    """A black photo with white boxes."""
    photo = Image.new("RGB", (120, 80))
    for top, left, bottom, right in WHITE:
        photo.paste((255, 255, 255), (left, top, right, bottom))
    return photo, make_boxes(WHITE, [3, 5])


def apply(
    augmentation: BoxedAugmentation, seed: int, preprocessing: Preprocessing = INPUT
) -> tuple[np.ndarray, np.ndarray]:
    photo, boxes = photo_and_boxes()
    rng = np.random.default_rng(seed)
    return augmentation.apply(lambda shrink: photo, boxes, preprocessing, rng)


def drawn(targets: np.ndarray, side: int = 64) -> np.ndarray:
    """Pixels that are in a box, bool [side, side]."""
    inside = np.zeros((side, side), bool)
    for row in targets[targets[:, 4] >= 0]:
        top, left, bottom, right = np.rint(row[:4] * side).astype(int)
        inside[top:bottom, left:right] = True
    return inside


@pytest.mark.parametrize("fit", ["pad", "stretch", "crop"])
def test_a_box_is_where_the_photo_shows_it(fit: str) -> None:
    for seed in range(60):
        pixels, targets = apply(BoxedAugmentation(), seed, replace(INPUT, fit=fit))
        assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)
        assert (targets.shape, targets.dtype) == ((MOST, 5), np.float32)
        white = pixels[..., 0] > 200
        inside = drawn(targets)
        # But for edges; and of a box that is left out, a tenth of 51 x 77 pixels may be seen.
        is_whole = (targets[:, 4] >= 0).sum() == 2
        assert (white & ~inside).sum() < (100 if is_whole else 420)
        assert (pixels[inside][:, 0] > 127).sum() >= 0.85 * inside.sum()


def test_boxes_are_scaled_moved_and_cut_off() -> None:
    found = [apply(BoxedAugmentation(), seed)[1] for seed in range(300)]
    seen = np.array([(targets[:, 4] == 5).sum() for targets in found])
    assert 0.03 < (seen == 0).mean() < 0.4
    widths = np.array([t[t[:, 4] == 3][0, [1, 3]] @ [-1, 1] for t in found if 3 in t[:, 4]])
    assert widths.max() > 0.75  # 0.4 at twice the scale
    assert widths.min() < 0.22
    assert np.concatenate([t[t[:, 4] >= 0, :4] for t in found]).min() == 0


def test_nothing_is_varied_without_a_crop() -> None:
    photo, boxes = photo_and_boxes()
    for seed in range(3):
        pixels, targets = apply(PLAIN, seed)
        np.testing.assert_array_equal(pixels, INPUT.pixels(photo))
        np.testing.assert_array_equal(targets, to_targets(boxes, INPUT.place(photo.size)))


def test_every_second_photo_is_mirrored_with_its_boxes() -> None:
    count = 0
    for seed in range(100):
        pixels, targets = apply(PLAIN, seed)
        flipped, flipped_targets = apply(replace(PLAIN, flip=True), seed)
        if not (flipped == pixels).all():
            np.testing.assert_array_equal(flipped, pixels[:, ::-1])
            np.testing.assert_array_equal(drawn(flipped_targets), drawn(targets)[:, ::-1])
            count += 1
    assert 35 < count < 65


@pytest.mark.parametrize("policy", ["rand", "auto"])
def test_policies_change_colors_and_move_nothing(policy: str) -> None:
    changed = 0
    for seed in range(40):
        pixels, targets = apply(PLAIN, seed)
        varied, same = apply(replace(PLAIN, policy=policy), seed)
        np.testing.assert_array_equal(same, targets)
        changed += not (varied == pixels).all()
    assert changed > 5


def test_a_box_that_is_erased_is_left_out() -> None:
    counts = set()
    for seed in range(60):
        pixels, targets = apply(replace(PLAIN, erasing=1.0), seed)
        before, all_boxes = apply(PLAIN, seed)
        erased = (pixels != before).any(axis=-1)
        kept = set(targets[:, 4].tolist()) - {-1}
        counts.add(len(kept))
        for row in all_boxes[:2]:
            hidden = erased[drawn(row[None])].mean()
            # Noise may be as the photo was, in a pixel of many.
            assert (row[4] in kept) == (hidden <= 0.9) or 0.88 < hidden < 0.92
    assert counts == {1, 2}


def test_a_photo_may_be_decoded_smaller() -> None:
    full, boxes = photo_and_boxes()
    full = full.resize((960, 640), Image.Resampling.NEAREST)
    large = make_boxes((boxes.corners * 8).tolist(), boxes.classes.tolist())

    def load(shrink: object) -> Image.Image:
        return full.reduce(shrink(full.size))  # type: ignore[operator]

    for seed in range(20):
        rng = np.random.default_rng(seed)
        pixels, targets = BoxedAugmentation().apply(load, large, INPUT, rng)
        inside = drawn(targets)
        assert (pixels[inside][:, 0] > 127).sum() >= 0.85 * inside.sum()
        np.testing.assert_allclose(targets, apply(BoxedAugmentation(), seed)[1], atol=1 / 32)


def test_batches_are_the_same_for_any_number_of_workers_and_with_a_cache() -> None:
    def content(photos: object, workers: int) -> bytes:
        found = train_batches(
            photos,  # type: ignore[arg-type]
            INPUT,
            4,
            Part(0, 1),
            augmentation=BoxedAugmentation(policy="rand", erasing=0.5),
            workers=workers,
        )
        return b"".join(batch.pixels.tobytes() + batch.labels.tobytes() for batch in found)

    assert content(CachedPhotos(PHOTOS, 10**6), 1) == content(PHOTOS, 3)


def test_a_share_of_a_short_batch_may_be_empty() -> None:
    given = {"augmentation": BoxedAugmentation(), "drop_last": False}
    *_, last = train_batches(PHOTOS, INPUT, 11, Part(0, 0, share=(2, 3)), **given)  # type: ignore[arg-type]
    assert [array.shape for array in last] == [(0, 64, 64, 3), (0, MOST, 5), (0,)]
    assert [array.dtype for array in last] == [np.uint8, np.float32, np.int64]
