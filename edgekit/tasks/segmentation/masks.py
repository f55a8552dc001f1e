"""The masks of photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing


def read_masks(photos: PhotoSet, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """All masks of a set as a network is shown the photos, uint8 [n, side, side]."""
    side = preprocessing.resolution
    masks = np.empty((len(photos), side, side), np.uint8)
    for index in range(len(photos)):
        mask = photos.label(index)
        masks[index] = preprocessing.place(mask.size).mask(mask)
    return masks


def median_frequencies(photos: PhotoSet, classes: int) -> tuple[float, ...]:
    """A weight for each class: the median frequency over its own, 1 of one without a pixel.

    The frequency is the class's pixels over all pixels with a class of the photos that have it
    (Eigen and Fergus 2015, arXiv 1411.4734, section 6.2).
    """
    own, within = np.zeros(classes), np.zeros(classes)
    for index in range(len(photos)):
        mask = np.asarray(photos.label(index))
        counts = np.bincount(mask.ravel(), minlength=256)[:classes]
        own += counts
        within += np.where(counts > 0, counts.sum(), 0)
    present = own > 0
    if not present.any():
        return (1.0,) * classes
    frequency = own[present] / within[present]
    weights = np.ones(classes)
    weights[present] = np.median(frequency) / frequency
    return tuple(weights.tolist())
