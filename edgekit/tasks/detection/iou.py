"""How much boxes overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def areas(corners: NDArray[Any]) -> NDArray[Any]:
    """Areas [...] of boxes [..., 4]: top, left, bottom, right."""
    found: NDArray[Any] = (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])
    return found


def intersections(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """The common area of each box of one set and each of another.

    Args:
        one: real [..., k, 4]: top, left, bottom, right.
        other: likewise, [..., m, 4].

    Returns:
        [..., k, m], of their type.
    """
    one, other = one[..., :, None, :], other[..., None, :, :]
    heights = np.minimum(one[..., 2], other[..., 2]) - np.maximum(one[..., 0], other[..., 0])
    widths = np.minimum(one[..., 3], other[..., 3]) - np.maximum(one[..., 1], other[..., 1])
    found: NDArray[Any] = np.maximum(heights, 0) * np.maximum(widths, 0)
    return found


def iou(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Intersection over union of each box of one set and each of another; 0 of two without area.

    Args:
        one: real [..., k, 4]: top, left, bottom, right.
        other: likewise, [..., m, 4].

    Returns:
        [..., k, m], of their type.
    """
    common = intersections(one, other)
    union = areas(one)[..., :, None] + areas(other)[..., None, :] - common
    found: NDArray[Any] = common / np.where(union > 0, union, 1)
    return found


def coverage(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """The share of each box of one set that is in each of another, [..., k, m].

    COCO's overlap of a detection with a crowd (``iscrowd``, pycocotools' ``bbIou``).
    """
    own = areas(one)[..., :, None]
    found: NDArray[Any] = intersections(one, other) / np.where(own > 0, own, 1)
    return found
