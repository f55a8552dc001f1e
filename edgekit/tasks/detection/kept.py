"""What is kept of a detector's outputs: its detections, and its highest logits.

The outputs of 1,000 photos at 320 px in 90 classes are 7 GB; what is kept of them is 41 MB. All
figures that count boxes are of the detections. The divergence from a reference, which needs
logits, is of the highest one of each anchor.

A kept array is a structured one [n], so that it is saved, concatenated and indexed by image. Its
fields are

- ``detections`` float32 [100, 6]: top, left, bottom and right in fractions of the input, score and
  class index, the best first; a row without one has the score 0;
- ``peaks`` float16 [at most 50,000]: the highest logit of every k-th anchor; empty where a file
  ends with detections;
- ``tops`` float16 [classes]: the highest logit of each class, not a number where a file ends with
  detections.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.boxes.anchors import Anchors
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.tasks.detection.decode import corners_of, find_candidates
from edgekit.tasks.detection.suppression import suppress

#: Detections of a photo, as COCO counts them (``maxDets``).
MOST = 100
MOST_PEAKS = 50_000
#: The largest number of a half float, rounded down.
LARGEST = 60000.0


def keep(
    outputs: NDArray[Any],
    preprocessing: Preprocessing | None = None,
    most_peaks: int = MOST_PEAKS,
) -> NDArray[Any]:
    """What is kept of outputs; what is kept already stays as it is.

    Args:
        outputs: real [n, anchors, 4 + classes]: offsets (`decode.corners_of`), then logits; or
            [n, k, 6], detections as kept, of a file that ends with them, the best first.
        preprocessing: of the images; its anchors are those of the offsets, and one without any
            is of a file that ends with detections.
        most_peaks: anchors whose highest logit is kept, at most.

    Returns:
        A structured array [n].

    Raises:
        UsageError: they are no such outputs, or there is no record of their anchors.
    """
    if outputs.dtype.names:
        return outputs
    if outputs.ndim != 3 or outputs.shape[2] < 5:
        raise UsageError(
            f"outputs of shape {list(outputs.shape)} are not boxes and their classes",
            cause="they must be 4 offsets and a logit per class for each anchor",
        )
    n, count, columns = outputs.shape
    anchors = None if preprocessing is None else preprocessing.anchors
    if preprocessing is not None and columns == 6:
        side = preprocessing.resolution
        if anchors is None or count != anchors.count(side, side):
            return _of_detections(outputs, len(preprocessing.labels))
    if anchors is None:
        raise UsageError("nothing says what the boxes are relative to")
    centers = find_centers(anchors, count)
    step = -(-count // most_peaks)
    kept = np.empty(n, kept_type(columns - 4, -(-count // step)))
    logits = np.clip(outputs[..., 4:], -LARGEST, LARGEST)
    kept["peaks"], kept["tops"] = logits[:, ::step].max(axis=2), logits.max(axis=1)
    for photo, values in enumerate(outputs):
        kept["detections"][photo] = detect(values, centers)
    return kept


def _of_detections(outputs: NDArray[Any], classes: int) -> NDArray[Any]:
    kept = np.zeros(len(outputs), kept_type(classes, 0))
    rows = outputs[:, :MOST].astype(np.float32)
    # A score that is not a number is none.
    kept["detections"][:, : rows.shape[1]] = np.where(rows[:, :, 4:5] > 0, rows, 0)
    kept["tops"] = np.nan
    return kept


def kept_type(classes: int, peaks: int) -> np.dtype[np.void]:
    """The type of what is kept of an image, with so many classes and peaks."""
    return np.dtype(
        [
            ("detections", np.float32, (MOST, 6)),
            ("peaks", np.float16, (peaks,)),
            ("tops", np.float16, (classes,)),
        ]
    )


@lru_cache(maxsize=8)
def find_anchors(anchors: Anchors, count: int) -> NDArray[np.float32]:
    """Those of a square input that has so many, float32 [count, 4] in fractions of its sides.

    Raises:
        UsageError: no square has so many.
    """
    try:
        return anchors.of_square(count)
    except ValueError as error:
        raise UsageError(
            f"outputs of {count} anchors are not those of the record", cause=str(error)
        ) from error


@lru_cache(maxsize=8)
def find_centers(anchors: Anchors, count: int) -> NDArray[np.float32]:
    """The same as centre y, centre x, height and width."""
    corners = find_anchors(anchors, count)
    return to_centers(corners)


def to_centers(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes [..., 4] of top, left, bottom, right as centre y, centre x, height and width."""
    starts, ends = corners[..., :2], corners[..., 2:]
    return np.concatenate([(starts + ends) / 2, ends - starts], axis=-1)


def detect(values: NDArray[Any], centers: NDArray[np.float32]) -> NDArray[np.float32]:
    """The detections of one image.

    Args:
        values: real [anchors, 4 + classes].
        centers: float32 [anchors, 4], the anchors: centre y, centre x, height, width.

    Returns:
        float32 [100, 6]: top, left, bottom, right in the unit of the anchors, score, class; the
        best first, with hard suppression class by class, zeros where there are fewer.
    """
    found = find_candidates(values[:, 4:])
    corners = corners_of(values[found.anchors, :4], centers[found.anchors])
    finite = np.isfinite(corners).all(axis=1)
    logits, classes, corners = found.logits[finite], found.classes[finite], corners[finite]
    kept = suppress(corners, classes, MOST)
    detections = np.zeros((MOST, 6), np.float32)
    rows = detections[: len(kept)]
    rows[:, :4], rows[:, 5] = corners[kept], classes[kept]
    with np.errstate(over="ignore"):  # exp(89) is infinite, and 1 over it 0
        rows[:, 4] = 1 / (1 + np.exp(-logits[kept]))
    return detections


def class_count(kept: NDArray[Any]) -> int:
    """How many classes the network knows."""
    return int(kept["tops"].shape[-1])


def detections_of(kept: NDArray[Any]) -> NDArray[np.float32]:
    """The detections of n images, float32 [n, 100, 6]."""
    found: NDArray[np.float32] = kept["detections"]
    return found
