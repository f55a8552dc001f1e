"""Batches are the same bytes for any number of threads, and the threads end with the consumer."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgekit.data.augmentation.augment import Augmentation, augment
from edgekit.data.batches import Part, TrainBatch, batch_count, eval_batches, train_batches
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.synthetic import LABELS, SyntheticPhotos
from edgekit.system.threads import ordered_map

INPUT = Preprocessing(
    resolution=24, mean=(127, 127, 127), std=(128, 128, 128), labels=LABELS, crop_fraction=1.0
)
Shrink = Callable[[tuple[int, int]], int]


class Photos(SyntheticPhotos):
    """Photos that cannot be loaded smaller."""

    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        return super().load(index)


class JpegPhotos(SyntheticPhotos):
    """JPEGs that are loaded smaller where that is allowed; `shrunk` records by how much."""

    shrunk: list[int] = []  # noqa: RUF012

    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        file = io.BytesIO()
        super().load(index).resize((300, 270), Image.Resampling.BICUBIC).save(file, "JPEG")
        image = Image.open(file)
        if shrink:
            n = shrink(image.size)
            self.shrunk.append(n)
            image.draft("RGB", (image.width // n, image.height // n))
        return image.convert("RGB")


PHOTOS = Photos(30, 0, "train", 24)
ALL = Augmentation(policy="rand", magnitude=12.5, erasing=0.5)


def train(epoch: int = 0, seed: int = 0, size: int = 8, photos: SyntheticPhotos = PHOTOS, **given):  # type: ignore[no-untyped-def]
    given.setdefault("augmentation", Augmentation())
    own = {name: given.pop(name) for name in ("share", "start") if name in given}
    return train_batches(photos, INPUT, size, Part(seed, epoch, **own), **given)


def content(batches: Iterable[TrainBatch]) -> bytes:
    return b"".join(
        pixels.tobytes() + labels.tobytes() + indices.tobytes()
        for pixels, labels, indices in batches
    )


def edgekit_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("edgekit")]


@pytest.mark.parametrize("workers", [1, 4])
def test_eval_batches_are_all_photos_in_order(workers: int) -> None:
    batches = list(eval_batches(PHOTOS, INPUT, 8, workers=workers))
    assert [len(indices) for _, indices in batches] == [8, 8, 8, 6]
    pixels = np.concatenate([pixels for pixels, _ in batches])
    indices = np.concatenate([indices for _, indices in batches])
    assert (pixels.dtype, indices.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(indices, np.arange(len(PHOTOS)))
    for i in range(len(PHOTOS)):
        np.testing.assert_array_equal(pixels[i], INPUT.pixels(PHOTOS.load(i)))


@pytest.mark.parametrize("photos", [PHOTOS, JpegPhotos(30, 0, "train", 24)])
def test_train_batches_do_not_depend_on_the_workers(photos: SyntheticPhotos) -> None:
    one, two, five = (content(train(photos=photos, augmentation=ALL, workers=n)) for n in (1, 2, 5))
    assert one == two == five


@pytest.mark.parametrize(("size", "drop_last"), [(8, True), (7, False), (4, False), (64, True)])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_shares_make_up_the_batches(world: int, size: int, drop_last: bool) -> None:
    whole = list(train(size=size, augmentation=ALL, drop_last=drop_last))
    shares = [
        list(
            train(
                size=size,
                augmentation=ALL,
                drop_last=drop_last,
                share=(rank, world),
                workers=1 + rank,
            )
        )
        for rank in range(world)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        for field in ("pixels", "labels", "indices"):
            together = np.empty_like(getattr(batch, field))
            for rank, part in enumerate(parts):
                together[rank::world] = getattr(part, field)
            np.testing.assert_array_equal(together, getattr(batch, field))


def test_a_share_of_a_short_batch_may_be_empty() -> None:
    *_, last = train(size=29, drop_last=False, share=(2, 3))
    assert [array.shape for array in last] == [(0, 24, 24, 3), (0,), (0,)]
    assert [array.dtype for array in last] == [np.uint8, np.int64, np.int64]


@pytest.mark.parametrize("share", [(0, 1), (1, 3)])
def test_an_epoch_goes_on_from_any_batch(share: tuple[int, int]) -> None:
    whole = list(train(augmentation=ALL, drop_last=False, share=share))
    for start in range(5):
        rest = list(train(augmentation=ALL, drop_last=False, share=share, start=start))
        assert content(rest) == content(whole[start:])
    assert list(train(start=3)) == []


def test_batches_say_which_photos_they_are() -> None:
    batches = list(train(drop_last=False))
    indices = np.concatenate([batch.indices for batch in batches])
    assert sorted(indices.tolist()) == list(range(30))
    for batch in batches:
        assert (batch.labels.dtype, batch.indices.dtype) == (np.int64, np.int64)
        np.testing.assert_array_equal(batch.labels, PHOTOS.labels[batch.indices])
        for pixels, index in zip(batch.pixels, batch.indices, strict=True):
            rng = np.random.default_rng((2, 0, 0, int(index)))
            alone = augment(lambda _, i=int(index): PHOTOS.load(i), INPUT, Augmentation(), rng)
            np.testing.assert_array_equal(pixels, alone)


def test_jpegs_are_loaded_as_small_as_their_crops_allow() -> None:
    photos = JpegPhotos(30, 0, "train", 24)
    photos.shrunk.clear()
    batches = list(train(photos=photos, drop_last=False))
    assert len(photos.shrunk) == 30
    assert {2, 4, 8} <= set(photos.shrunk)

    class Whole(JpegPhotos):
        def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
            return super().load(index)

    whole = list(train(photos=Whole(30, 0, "train", 24), drop_last=False))
    for reduced, full in zip(batches, whole, strict=True):
        np.testing.assert_array_equal(reduced.indices, full.indices)
        assert abs(reduced.pixels.astype(float) - full.pixels).mean() < 3


def test_at_most_two_batches_are_prepared_ahead() -> None:
    loaded: list[int] = []

    class Counting(Photos):
        def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
            loaded.append(index)
            return super().load(index)

    with closing(train(photos=Counting(30, 0, "train", 24), size=4, share=(0, 2))) as batches:
        next(batches)
        time.sleep(0.1)
        assert 2 <= len(loaded) <= 3 * 2


def test_epochs_and_seeds_differ() -> None:
    seen = [content(train(epoch, seed)) for epoch, seed in ((0, 0), (1, 0), (0, 1), (1, 1))]
    assert len(set(seen)) == 4
    assert content(train(1, 0)) == seen[1]


@pytest.mark.parametrize(
    ("size", "drop_last", "sizes"),
    [
        (8, True, [8, 8, 8]),
        (8, False, [8, 8, 8, 6]),
        (10, True, [10, 10, 10]),
        (64, True, [30]),
        (64, False, [30]),
    ],
)
def test_batch_sizes(size: int, drop_last: bool, sizes: list[int]) -> None:
    batches = list(train(drop_last=drop_last, size=size))
    assert [len(batch.labels) for batch in batches] == sizes
    assert [batch.pixels.shape for batch in batches] == [(n, 24, 24, 3) for n in sizes]
    assert batch_count(30, size, drop_last=drop_last) == len(sizes)


def test_an_epoch_is_a_permutation() -> None:
    plain = Augmentation(crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=False)
    batches = list(train_batches(PHOTOS, INPUT, 7, Part(0, 0), augmentation=plain, drop_last=False))
    given = [pixels.tobytes() for batch in batches for pixels in batch.pixels]
    stored = [INPUT.pixels(PHOTOS.load(i)).tobytes() for i in range(30)]
    assert given != stored
    assert sorted(given) == sorted(stored)
    labels = np.concatenate([batch.labels for batch in batches])
    np.testing.assert_array_equal(labels, PHOTOS.labels[[stored.index(photo) for photo in given]])


def ramp(width: int, height: int) -> Image.Image:
    """A photo whose red is 0 to 250 across and whose green is 0 to 250 down."""
    x, y = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


def measure(augmentation: Augmentation, width: int, height: int, n: int = 300) -> np.ndarray:
    """Reads width, height (in pixels) and flip of n random crops off their colours: [n, 3]."""
    image, found = ramp(width, height), []
    smooth = replace(INPUT, resolution=16, interpolation="bilinear")
    for i in range(n):
        rng = np.random.default_rng(i)
        crop = augment(lambda shrink: image, smooth, augmentation, rng).astype(float)
        across, down = crop[8, -3, 0] - crop[8, 2, 0], crop[-3, 8, 1] - crop[2, 8, 1]
        whole = 16 / 11 / 250  # from the 11 steps between columns 2 and 13 to 16
        found.append((abs(across) * whole * width, down * whole * height, across < 0))
    return np.array(found)


def test_crops_cover_the_asked_for_areas_and_ratios() -> None:
    widths, heights, flips = measure(Augmentation(), 200, 160).T
    areas, ratios = widths * heights / (200 * 160), widths / heights
    assert 0.06 < areas.min() < 0.15
    assert 0.75 < areas.max() < 1.05
    assert 0.70 < ratios.min() < 0.85
    assert 1.20 < ratios.max() < 1.42
    assert 0.4 < flips.mean() < 0.6


def test_no_flip() -> None:
    assert not measure(Augmentation(flip=False), 100, 100, n=40)[:, 2].any()


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(400, 20, (80 / 3, 20)), (20, 400, (20, 80 / 3))]
)
def test_fallback_is_the_centre(width: int, height: int, expected: tuple[float, float]) -> None:
    whole = Augmentation(crop_area=(1.0, 1.0), flip=False)  # of which none fits
    widths, heights, _ = measure(whole, width, height, n=20).T
    np.testing.assert_allclose(widths, expected[0], rtol=0.15)
    np.testing.assert_allclose(heights, expected[1], rtol=0.15)


def test_a_photo_of_one_pixel() -> None:
    image = Image.new("RGB", (1, 1), "red")
    pixels = augment(lambda shrink: image, INPUT, Augmentation(), np.random.default_rng())
    assert (pixels == (255, 0, 0)).all()


class Failing(SyntheticPhotos):
    def load(self, index: int) -> Image.Image:
        if index == 17:
            raise OSError("photo 17")
        return super().load(index)


def test_a_failing_photo_raises_at_its_place_and_ends_the_threads() -> None:
    batches = eval_batches(Failing(30, 0, "train", 24), INPUT, 8)
    assert len(next(batches)[1]) == 8
    assert len(next(batches)[1]) == 8
    with pytest.raises(OSError, match="photo 17"):
        next(batches)
    assert not edgekit_threads()


def test_stopping_early_ends_the_threads() -> None:
    batches = train()
    next(batches)
    assert edgekit_threads()
    batches.close()
    assert not edgekit_threads()


def test_ordered_map_keeps_order_and_looks_only_so_far_ahead() -> None:
    begun: list[int] = []

    def slow_first(i: int) -> int:
        begun.append(i)
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i * i

    results = ordered_map(slow_first, range(1000), workers=3, ahead=5)
    assert next(results) == 0
    time.sleep(0.1)
    assert max(begun) <= 5
    assert [next(results) for _ in range(20)] == [i * i for i in range(1, 21)]
    results.close()
    assert max(begun) <= 26
    assert list(ordered_map(slow_first, [], workers=3, ahead=5)) == []
