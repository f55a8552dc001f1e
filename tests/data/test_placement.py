"""Boxes of a photo are where the input shows them, and back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgekit.data.placement import FITS, move_boxes, place


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(200, 100), (90, 160), (64, 64)])
def test_a_box_is_where_its_pixels_are_shown(fit: str, size: tuple[int, int]) -> None:
    width, height = size
    top, left, bottom, right = 0.3 * height, 0.35 * width, 0.6 * height, 0.7 * width
    photo = Image.new("L", size)
    photo.paste(255, tuple(map(round, (left, top, right, bottom))))
    spot = place(size, 64, fit, 0.9)
    (found,) = spot.boxes_in(np.array([[top, left, bottom, right]])) * 64
    pixels = spot.mask(photo) == 255
    pixels &= spot.mask(Image.new("L", size)) == 0  # not the margin
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    drawn = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    np.testing.assert_allclose(np.clip(found, 0, 64), drawn, atol=1.01)


@pytest.mark.parametrize("fit", FITS)
def test_boxes_come_back(fit: str) -> None:
    spot = place((640, 427), 320, fit, 0.875)
    corners = np.random.default_rng(0).uniform(0, 427, (20, 4)).astype(np.float32)
    placed = spot.boxes_in(corners)
    assert (placed.shape, placed.dtype) == ((20, 4), np.float32)
    back = spot.boxes_out(placed)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, corners, atol=1e-3)


def test_all_of_a_padded_photo_is_the_shown_part() -> None:
    spot = place((200, 100), 50, "pad")
    whole = spot.boxes_in(np.array([[0, 0, 100, 200]]))
    np.testing.assert_allclose(whole, [[12 / 50, 0, 37 / 50, 1]])
    assert spot.boxes_in(np.empty((0, 4))).shape == (0, 4)


def test_a_rectangle_is_mapped_onto_the_other() -> None:
    # Rectangles have x first, boxes y.
    moved = move_boxes(np.array([[2.0, 1, 6, 5]]), (1, 2, 5, 6), (10, 20, 30, 24))
    np.testing.assert_allclose(moved, [[20, 10, 24, 30]])
