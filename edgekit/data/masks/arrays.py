"""The masks of photos as arrays, as a network's input shows them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgekit.data.placement import IGNORED
from edgekit.data.preprocessing import Preprocessing
from edgekit.system.host import usable_cores
from edgekit.system.threads import ordered_map

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet


def masks_of(
    photos: PhotoSet, preprocessing: Preprocessing, *, workers: int | None = None
) -> npt.NDArray[np.uint8]:
    """Returns the masks as the input shows the photos.

    Args:
        photos: n photos with masks.
        preprocessing: says where a photo is in the input.
        workers: threads that decode; None for one a core, 8 at most.

    Returns:
        uint8 [n, resolution, resolution]: class indices, 255 for none and in the margin.
    """

    def placed(index: int) -> npt.NDArray[np.uint8]:
        mask = photos.label(index)
        return preprocessing.place(mask.size).mask(mask)

    side = preprocessing.resolution
    masks = np.empty((len(photos), side, side), np.uint8)
    workers = workers or min(8, usable_cores())
    with closing(
        ordered_map(placed, range(len(photos)), workers=workers, ahead=8 * workers)
    ) as results:
        for index, mask in enumerate(results):
            masks[index] = mask
    return masks


def class_counts(masks: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.int64]:
    """Returns how many pixels are of each class, int64 [classes]; 255 is left out."""
    counts = np.zeros(256, np.int64)
    for mask in masks:
        counts += np.bincount(mask.ravel(), minlength=256)
    return counts[:IGNORED][:classes]
