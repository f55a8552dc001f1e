"""From a detector's outputs to boxes: the candidates with the highest logits, and where they are.

Source: google/automl 6a54c87, ``efficientdet/tf2/anchors.py`` and ``tf2/postprocess.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.networks.detection.postprocess import decode_boxes

#: Pairs of an anchor and a class that suppression looks at: Google's ``MAX_DETECTION_POINTS``,
#: and effdet's.
CANDIDATES = 5000
#: The largest exponent of a side: exp(16) anchors are more than any photo, and a finite number.
LARGEST = 16.0


def corners_of(offsets: NDArray[Any], centers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes from what a network says relative to anchors.

    Args:
        offsets: real [k, 4]: ty, tx, th, tw.
        centers: float32 [k, 4], the anchors: centre y, centre x, height, width.

    Returns:
        float32 [k, 4]: top, left, bottom, right in the unit of the anchors.
    """
    values = offsets.astype(np.float32)
    values[:, 2:] = np.minimum(values[:, 2:], np.float32(LARGEST))
    return decode_boxes(values, centers, (1.0, 1.0, 1.0, 1.0))


class Candidates(NamedTuple):
    """Pairs of an anchor and a class, by logit, the highest first; of equal ones the lower pair.

    Attributes:
        anchors: int64 [k], which anchor.
        classes: int64 [k].
        logits: float32 [k].
    """

    anchors: NDArray[np.int64]
    classes: NDArray[np.int64]
    logits: NDArray[np.float32]


def find_candidates(logits: NDArray[Any], most: int = CANDIDATES) -> Candidates:
    """The pairs with the highest logits; one that is not a number is none.

    Args:
        logits: real [anchors, classes].
        most: pairs that are wanted.
    """
    values = logits.astype(np.float32)
    values[np.isnan(values)] = -np.inf
    # A pair among the highest is of an anchor that is, too: the anchors are fewer.
    chosen = _highest(values.max(axis=1, initial=-np.inf), most)
    flat = values[chosen].ravel()
    pairs = _highest(flat, most)
    pairs = pairs[np.argsort(-flat[pairs], kind="stable")]
    pairs = pairs[flat[pairs] > -np.inf]
    anchors, classes = np.divmod(pairs, logits.shape[1])
    return Candidates(chosen[anchors], classes, flat[pairs])


def _highest(values: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Where the highest values are, ascending."""
    if len(values) <= most:
        return np.arange(len(values))
    return np.sort(np.argpartition(-values, most)[:most])
