"""How often each class is in the masks of photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgekit.data.masks.arrays import class_counts

if TYPE_CHECKING:
    from edgekit.data.image_set import PhotoSet


def median_frequencies(photos: PhotoSet, classes: int) -> tuple[float, ...]:
    """A weight for each class: the median frequency over its own, 1 of one without a pixel.

    The frequency is the class's pixels over all pixels with a class of the photos that have it
    (Eigen and Fergus 2015, arXiv 1411.4734, section 6.2).
    """
    own, within = np.zeros(classes), np.zeros(classes)
    for index in range(len(photos)):
        counts = class_counts(np.asarray(photos.label(index))[np.newaxis], classes)
        own += counts
        within += np.where(counts > 0, counts.sum(), 0)
    present = own > 0
    if not present.any():
        return (1.0,) * classes
    frequency = own[present] / within[present]
    weights = np.ones(classes)
    weights[present] = np.median(frequency) / frequency
    return tuple(weights.tolist())
