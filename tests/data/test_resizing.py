from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgekit.data.resizing import resizes_columns_first

BICUBIC = Image.Resampling.BICUBIC


@pytest.mark.parametrize(("height", "is_tall"), [(53, True), (52, False), (20, False)])
def test_the_order_of_the_passes_is_pillows(height, is_tall):
    """Of 30 pixels to 8, a height of more than 2 * 30 - 8 is tall."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, 30, 3), np.uint8)
    photo = Image.fromarray(pixels)
    at_once = np.array(photo.resize((8, 8), BICUBIC))
    rows_first = np.array(photo.resize((8, height), BICUBIC).resize((8, 8), BICUBIC))
    columns_first = np.array(photo.resize((30, 8), BICUBIC).resize((8, 8), BICUBIC))
    assert not np.array_equal(rows_first, columns_first)
    expected = columns_first if is_tall and resizes_columns_first() else rows_first
    assert np.array_equal(at_once, expected)
