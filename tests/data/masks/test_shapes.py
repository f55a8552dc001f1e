"""The built-in shapes with masks: from a seed, and right where they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgekit.data.masks.shapes import LABELS, MaskedShapes
from edgekit.data.splits import photos_from_dict

PHOTOS = MaskedShapes(40, 0, "train", 48)


def masks(photos: MaskedShapes) -> np.ndarray:
    return np.stack([np.array(photos.label(i)) for i in range(len(photos))])


def pixels(photos: MaskedShapes) -> np.ndarray:
    return np.stack([np.array(photos.load(i)) for i in range(len(photos))])


def test_classes_are_the_background_and_ten_shapes() -> None:
    assert len(LABELS) == 11
    assert LABELS[:3] == ("background", "arrow", "crescent")
    assert PHOTOS.labels.tolist() == [-1] * 40


def test_each_photo_has_the_shape_of_its_number_and_one_to_three_in_all() -> None:
    shown = [set(np.unique(mask)) - {0} for mask in masks(PHOTOS)]
    assert all(1 <= len(classes) <= 3 for classes in shown)
    assert {len(classes) for classes in shown} == {1, 2, 3}
    hidden = sum(1 + i % 10 not in classes for i, classes in enumerate(shown))
    assert hidden == 0


def test_every_class_is_seen_about_as_often() -> None:
    many = masks(MaskedShapes(200, 1, "train", 24))
    counts = [(many == label).any(axis=(1, 2)).sum() for label in range(1, 11)]
    assert min(counts) > 25


def test_shapes_are_brighter_than_what_is_behind() -> None:
    for image, mask in zip(pixels(PHOTOS).mean(axis=-1), masks(PHOTOS), strict=True):
        assert image[mask > 0].mean() > image[mask == 0].mean()


def test_a_photo_depends_on_seed_split_and_number_alone() -> None:
    again = MaskedShapes(80, 0, "train", 48)
    np.testing.assert_array_equal(masks(again)[:40], masks(PHOTOS))
    np.testing.assert_array_equal(pixels(again)[:40], pixels(PHOTOS))
    for other in (MaskedShapes(40, 1, "train", 48), MaskedShapes(40, 0, "val", 48)):
        assert (masks(other) != masks(PHOTOS)).any(axis=(1, 2)).all()
        assert other.digest() != PHOTOS.digest()


def test_the_scene_is_the_same_at_any_resolution() -> None:
    small, large = masks(MaskedShapes(10, 0, "train", 32)), masks(MaskedShapes(10, 0, "train", 96))
    assert (small == large[:, 1::3, 1::3]).mean() > 0.95


def test_what_is_given_out_is_the_callers_own() -> None:
    PHOTOS.label(0).paste(5, (0, 0, 48, 48))
    PHOTOS.load(0).paste((0, 0, 0), (0, 0, 48, 48))
    assert np.unique(np.array(PHOTOS.label(0))).tolist() != [5]
    assert np.array(PHOTOS.load(0)).any()


def test_subset_and_record() -> None:
    part = PHOTOS.subset([7, 3]).subset([1])
    assert part.names == ("train-00003",)
    np.testing.assert_array_equal(masks(part)[0], masks(PHOTOS)[3])
    read = photos_from_dict(json.loads(json.dumps(part.to_dict())))
    assert read.digest() == part.digest()
    np.testing.assert_array_equal(np.array(read.label(0)), masks(PHOTOS)[3])


@pytest.mark.parametrize("given", [(0, 0, "train", 48), (4, -1, "train", 48), (4, 0, "x", 48)])
def test_no_such_photos(given: tuple[int, int, str, int]) -> None:
    with pytest.raises(ValueError, match="no such photos"):
        MaskedShapes(*given)
