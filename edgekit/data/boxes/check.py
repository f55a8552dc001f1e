"""The boxes of one photo, checked against the photo itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.data.boxes.annotations import UNKNOWN, AnnotatedPhoto
from edgekit.data.boxes.boxes import Boxes
from edgekit.data.boxes.faults import Fault
from edgekit.data.images import Stored

_Array = NDArray[np.float64]

#: In pixels. Tools that write whole pixels, or six digits of a fraction, move an edge by that.
_ROUNDING = 0.5

# Where a point of an image goes that is turned so: x, y and the image's width and height.
_TURNS: dict[Image.Transpose, Callable[[_Array, _Array, int, int], tuple[_Array, _Array]]] = {
    Image.Transpose.FLIP_LEFT_RIGHT: lambda x, y, w, h: (w - x, y),
    Image.Transpose.FLIP_TOP_BOTTOM: lambda x, y, w, h: (x, h - y),
    Image.Transpose.ROTATE_180: lambda x, y, w, h: (w - x, h - y),
    Image.Transpose.TRANSPOSE: lambda x, y, w, h: (y, x),
    Image.Transpose.TRANSVERSE: lambda x, y, w, h: (h - y, w - x),
    Image.Transpose.ROTATE_90: lambda x, y, w, h: (y, w - x),
    Image.Transpose.ROTATE_270: lambda x, y, w, h: (h - y, x),
}


class Checked(NamedTuple):
    """What is left of a photo's boxes.

    Attributes:
        boxes: in pixels of the upright photo; None where they cannot be of it.
        faults: of the boxes that were left out or cut off.
        problem: why they cannot be of the photo.
        is_ambiguous: whether the photo is stored turned, and nothing says whether its boxes are.
    """

    boxes: Boxes | None
    faults: tuple[Fault, ...] = ()
    problem: str = ""
    is_ambiguous: bool = False


def check_boxes(photo: AnnotatedPhoto, stored: Stored, element: str) -> Checked:
    """Brings the boxes of a photo upright and into it, and leaves out what is no box.

    Args:
        photo: with its boxes.
        stored: how the file has the photo.
        element: what a box is in a file, with a place for its number.
    """
    turn, problem = _turn(photo.size, stored)
    if problem:
        return Checked(None, problem=problem)
    corners = photo.corners
    width, height = stored.upright
    if photo.is_relative:
        corners = corners * np.array([height, width] * 2)
    if turn is not None:
        corners = turn_boxes(corners, turn, *stored.size)
    faults: list[Fault] = []

    def tell(kind: str, found: NDArray[np.bool_]) -> None:
        faults.extend(
            Fault(kind, f"{photo.name} ({element.format(number)})")
            for number in photo.numbers[found].tolist()
        )

    limits = np.array([height, width] * 2)
    clipped = np.clip(corners, 0, limits)
    is_unknown = photo.classes == UNKNOWN
    is_empty = ~is_unknown & (corners[:, 2:] <= corners[:, :2]).any(axis=1)
    is_nowhere = ~is_unknown & ~is_empty & (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    is_sound = ~(is_unknown | is_empty | is_nowhere)
    is_copy = is_sound & _copies(np.column_stack([photo.classes, photo.crowds, clipped]), is_sound)
    is_sound &= ~is_copy
    beyond = (np.abs(corners - clipped) > _ROUNDING).any(axis=1)
    for kind, found in (
        ("unknown", is_unknown),
        ("empty", is_empty),
        ("nowhere", is_nowhere),
        ("twice", is_copy),
        ("outside", is_sound & beyond),
    ):
        tell(kind, found)
    sides = clipped[:, 2:] - clipped[:, :2]
    areas = np.where(np.isnan(photo.areas), sides.prod(axis=1), photo.areas)
    boxes = Boxes(clipped.astype(np.float32), photo.classes, photo.crowds, areas).take(is_sound)
    is_ambiguous = (
        stored.turn is not None
        and turn is None
        and photo.size in (None, stored.size)
        and len(boxes) > 0
    )
    return Checked(boxes, tuple(faults), is_ambiguous=is_ambiguous)


def turn_boxes(corners: _Array, turn: Image.Transpose, width: int, height: int) -> _Array:
    """Returns boxes of an image where they are once it is turned.

    Args:
        corners: float64 [k, 4]: top, left, bottom and right, in pixels.
        turn: how.
        width: of the image before.
        height: likewise.
    """
    top, left, bottom, right = corners.T
    x, y = _TURNS[turn](np.stack([left, right]), np.stack([top, bottom]), width, height)
    # One that ends before it begins stays so, to be told of.
    is_whole = (bottom > top) & (right > left)
    turned = np.stack([y.min(axis=0), x.min(axis=0), y.max(axis=0), x.max(axis=0)], axis=1)
    empty = np.stack([y[0], x[0], y[0], x[0]], axis=1)
    return np.where(is_whole[:, None], turned, empty)


def _turn(size: tuple[int, int] | None, stored: Stored) -> tuple[Image.Transpose | None, str]:
    """What turns boxes upright, and what is wrong with the size that they are of.

    Tools show a photo as people see it, or as it is stored; width and height say which one it was.
    Where they do not (of no size, square, mirrored or upside down), it is as people see it, which
    browsers and OpenCV do.
    """
    if size is None or size == stored.upright:
        return None, ""
    if size == stored.size:
        return stored.turn, ""
    (width, height), (across, down) = stored.upright, size
    return None, f"it has {width} x {height} pixels, and its boxes are of {across} x {down}"


def _copies(rows: NDArray[np.float64], is_sound: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows are as an earlier one that is sound."""
    found = np.zeros(len(rows), np.bool_)
    seen: set[bytes] = set()
    for number in np.flatnonzero(is_sound).tolist():
        key = rows[number].tobytes()
        found[number] = key in seen
        seen.add(key)
    return found
