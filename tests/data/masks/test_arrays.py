"""Masks as the input shows them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgekit.data.masks.arrays import class_counts, masks_of
from edgekit.data.masks.shapes import LABELS, MaskedShapes
from edgekit.data.preprocessing import Preprocessing

PHOTOS = MaskedShapes(9, 0, "val", 30)


class Wide(MaskedShapes):
    """Photos that are twice as wide."""

    def label(self, index: int) -> Image.Image:
        return super().label(index).resize((60, 30), Image.Resampling.NEAREST)


def preprocessing(fit: str) -> Preprocessing:
    return Preprocessing(30, (127,) * 3, (127,) * 3, LABELS, crop_fraction=1.0, fit=fit)


@pytest.mark.parametrize("workers", [1, 3, None])
def test_masks_come_in_order(workers: int | None) -> None:
    masks = masks_of(PHOTOS, preprocessing("pad"), workers=workers)
    assert (masks.shape, masks.dtype) == ((9, 30, 30), np.uint8)
    for index, mask in enumerate(masks):
        np.testing.assert_array_equal(mask, np.array(PHOTOS.label(index)))


def test_what_is_beside_a_padded_photo_is_of_no_class() -> None:
    masks = masks_of(Wide(9, 0, "val", 30), preprocessing("pad"))
    assert (masks[:, :7] == 255).all()
    assert (masks[:, -7:] == 255).all()
    assert (masks[:, 8:-8] != 255).all()
    assert (masks_of(Wide(9, 0, "val", 30), preprocessing("stretch")) != 255).all()


def test_pixels_are_counted_by_class_without_those_of_none() -> None:
    masks = np.array([[[0, 2], [255, 2]], [[1, 2], [0, 255]]], np.uint8)
    assert class_counts(masks, 4).tolist() == [2, 1, 3, 0]
