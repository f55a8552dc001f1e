"""The built-in dataset: the same photos for ever, balanced, and no work for a linear model."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import places
import pytest

from edgekit.data.synthetic import LABELS, TRAIN_COUNT, VAL_COUNT, SyntheticPhotos, draw

BENCHMARK = places.BENCHMARKS / "synthetic_linear.py"


def test_labels() -> None:
    assert len(LABELS) == 10
    assert list(LABELS) == sorted(set(LABELS))


@pytest.mark.parametrize("resolution", [1, 17, 64, 224])
def test_photos(resolution: int) -> None:
    photos = SyntheticPhotos(12, 0, "train", resolution)
    assert len(photos) == 12
    for i in range(12):
        image = photos.load(i)
        assert (image.mode, image.size) == ("RGB", (resolution, resolution))


@pytest.mark.parametrize(("split", "count"), [("train", TRAIN_COUNT), ("val", VAL_COUNT)])
def test_classes_are_balanced_and_named(split: str, count: int) -> None:
    photos = SyntheticPhotos(count, 0, split, 64)
    assert photos.labels.dtype == np.int64
    assert np.bincount(photos.labels).tolist() == [count // 10] * 10
    assert len(set(photos.names)) == count
    for name, label in zip(photos.names, photos.labels, strict=True):
        assert name.startswith(f"{LABELS[label]}/{split}-")


def test_a_photo_depends_on_seed_split_and_index_alone() -> None:
    few, many = (SyntheticPhotos(count, 3, "val", 32) for count in (5, 50))
    backwards = [many.load(i).tobytes() for i in range(4, -1, -1)]
    assert [few.load(i).tobytes() for i in range(5)] == backwards[::-1]
    assert few.load(2).tobytes() == few.load(2).tobytes()
    assert few.load(2).tobytes() == SyntheticPhotos(5, 3, "val", 32).load(2).tobytes()


def test_a_loaded_photo_can_be_changed_without_harm() -> None:
    photos = SyntheticPhotos(5, 0, "train", 16)
    before = photos.load(0).tobytes()
    for _ in range(2):
        photos.load(0).paste((0, 0, 0), (0, 0, 16, 16))
    assert photos.load(0).tobytes() == before


def test_splits_and_seeds_share_no_photo() -> None:
    sets = [SyntheticPhotos(60, seed, split, 16) for seed in (0, 1) for split in ("train", "val")]
    photos = [photos.load(i).tobytes() for photos in sets for i in range(60)]
    assert len(set(photos)) == 4 * 60


def test_the_scene_is_the_same_at_every_resolution() -> None:
    for i in range(10):
        small, large = (
            draw(i, np.random.default_rng(i), resolution).resize((16, 16))
            for resolution in (48, 192)
        )
        difference = np.asarray(small).astype(int) - np.asarray(large)
        assert abs(difference).mean() < 8


def test_edges_are_smooth() -> None:
    """A shape's coverage takes values between none and all at its edge."""
    from edgekit.data.synthetic import draw_outline

    mask = draw_outline(LABELS.index("disc"), np.random.default_rng(0), 64)
    assert mask.min() == 0
    assert mask.max() == 1
    assert 40 < ((mask > 0) & (mask < 1)).sum() < 400


def test_subset_and_json() -> None:
    photos = SyntheticPhotos(40, 0, "train", 16)
    part = photos.subset([7, 3, 30]).subset([2, 0])
    assert part.names == (photos.names[30], photos.names[7])
    assert part.labels.tolist() == [0, 7]
    assert part.load(1).tobytes() == photos.load(7).tobytes()
    again = SyntheticPhotos.from_dict(json.loads(json.dumps(part.to_dict())))
    assert again == part
    assert again.digest() == part.digest()
    assert again.load(0).tobytes() == photos.load(30).tobytes()


def test_digests_differ() -> None:
    sets = [
        SyntheticPhotos(count, seed, split, resolution)
        for count, seed, split, resolution in (
            (20, 0, "train", 16),
            (21, 0, "train", 16),
            (20, 1, "train", 16),
            (20, 0, "val", 16),
            (20, 0, "train", 17),
        )
    ]
    sets.append(sets[0].subset(range(19)))
    assert len({photos.digest() for photos in sets}) == len(sets)


@pytest.mark.parametrize(
    "arguments", [(10, -1, "train", 64), (10, 0, "test", 64), (0, 0, "val", 64), (10, 0, "val", 0)]
)
def test_nonsense_is_refused(arguments: tuple[int, int, str, int]) -> None:
    with pytest.raises(ValueError, match="no such photos"):
        SyntheticPhotos(*arguments)


@pytest.mark.slow  # draws and fits the whole dataset, which hardly ever changes
def test_a_linear_model_learns_something_but_stays_under_60_percent() -> None:
    spec = importlib.util.spec_from_file_location("synthetic_linear", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    # The benchmark's best penalty; at half its resolution, where the figure is the same.
    top1 = benchmark.linear_top1(resolution=32, penalties=(0.1,))[0.1]
    assert 0.15 < top1 < 0.60
