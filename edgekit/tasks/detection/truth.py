"""The boxes of photos, and where each photo is in a network's input."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgekit.data.boxes.boxes import Boxes
from edgekit.data.placement import Placement
from edgekit.errors import UsageError
from edgekit.system.host import usable_cores
from edgekit.system.threads import ordered_map

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing


@dataclass(frozen=True, eq=False)
class Truth:
    """The label of a photo in an evaluation.

    Attributes:
        boxes: in pixels of the whole photo.
        placement: where the photo is in the input.
    """

    boxes: Boxes
    placement: Placement


def read_truths(
    photos: PhotoSet, preprocessing: Preprocessing, *, workers: int | None = None
) -> NDArray[Any]:
    """The boxes of all photos, an object array [n] of `Truth`.

    Args:
        photos: n photos with boxes.
        preprocessing: says where a photo is in the input.
        workers: threads that read the photos' sizes; None for one a core, 8 at most.
    """

    def read(index: int) -> Truth:
        return Truth(photos.label(index), preprocessing.place(size_of(photos, index)))

    found = np.empty(len(photos), object)
    workers = workers or min(8, usable_cores())
    with closing(
        ordered_map(read, range(len(photos)), workers=workers, ahead=8 * workers)
    ) as truths:
        for index, truth in enumerate(truths):
            found[index] = truth
    return found


def size_of(photos: PhotoSet, index: int) -> tuple[int, int]:
    """Width and height of a photo; of a JPEG little more than its header is decoded."""
    if isinstance(photos, _Sized):
        return photos.size(index)
    seen: list[tuple[int, int]] = []

    def smallest(size: tuple[int, int]) -> int:
        seen.append(size)
        return 8  # the most that a JPEG can be decoded smaller

    image = photos.load(index, smallest)
    return seen[0] if seen else image.size


def photo_corners(
    corners: NDArray[Any], placements: Sequence[Placement] | NDArray[Any]
) -> NDArray[np.float64]:
    """Boxes in an input as boxes in the photo that it shows, cut at the photo's sides.

    Args:
        corners: real [n, k, 4]: top, left, bottom, right in fractions of the input's sides.
        placements: of the n photos.

    Returns:
        float64 [n, k, 4], in pixels of the whole photo.
    """
    if len(corners) != len(placements):
        raise UsageError(
            f"results for {len(corners)} and labels of {len(placements)} photos do not belong "
            "together"
        )
    values = corners.astype(np.float64)
    for photo, placement in enumerate(placements):
        left, top, right, bottom = placement.source
        start = np.array([placement.shown[1], placement.shown[0]] * 2)
        shown = np.array(placement.shown)[[3, 2, 3, 2]] - start
        sides = np.array([bottom - top, right - left] * 2)
        width, height = placement.size
        values[photo] = np.clip(
            (values[photo] * placement.side - start) * (sides / shown) + [top, left] * 2,
            0,
            [height, width] * 2,
        )
    return values


@runtime_checkable
class _Sized(Protocol):
    """Photos whose sizes are known."""

    def size(self, index: int) -> tuple[int, int]:
        """Width and height."""


def check_classes(boxes: Boxes, count: int) -> None:
    """Raises UsageError for a box of a class that a network with so many has not."""
    if len(boxes) and boxes.classes.max() >= count:
        raise UsageError(f"a box has the class {boxes.classes.max()}, and there are {count}")


def class_weights(photos: PhotoSet, classes: int) -> tuple[float, ...]:
    """A weight for each class by its boxes: all of them over classes and its own, else 1.

    (As of photos in classification: scikit-learn's ``class_weight="balanced"``.)
    """
    counts = np.zeros(classes)
    for index in range(len(photos)):
        boxes = photos.label(index)
        counts += np.bincount(boxes.classes[~boxes.crowds], minlength=classes)[:classes]
    weights = counts.sum() / (classes * np.maximum(counts, 1))
    return tuple(np.where(counts > 0, weights, 1.0).tolist())
