"""A picture that is drawn, for a check without photos."""

from __future__ import annotations

import numpy as np

from edgekit.data.images import Pixels

TEST_PICTURE = "test picture"


def draw(size: int, width: int | None = None) -> Pixels:
    """Draws the test picture, the same on every machine: three crossing ramps with edges.

    Args:
        size: its height.
        width: as the height unless given.

    Returns:
        uint8 [size, width, 3], RGB.
    """
    width = size if width is None else width
    y, x = np.mgrid[:size, :width]
    y, x = y * 256 // size, x * 256 // width
    return np.stack([x, y, (x ^ y)], axis=-1).astype(np.uint8)
