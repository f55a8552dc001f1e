"""TFLite's detection operator in numpy, as `edgekit.networks.detection.postprocess` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.converters.tflite.detections import BOXES, CLASSES, COUNT, SCORES, read_options
from edgekit.converters.tflite.file import Operator
from edgekit.networks.detection.postprocess import post_process

Array: TypeAlias = NDArray[Any]


def find_boxes(op: Operator, arrays: Sequence[Array]) -> list[Array]:
    """The operator's four outputs, with as many items as its inputs have.

    Args:
        op: the operator.
        arrays: offsets [n, A, 4] and scores [n, A, C], and the anchors [A, 4]; float32.
    """
    offsets, scores, anchors = arrays
    options = read_options(op)
    found = [
        post_process(own, scored, anchors, options)
        for own, scored in zip(offsets, scores, strict=True)
    ]
    outputs = [np.stack([getattr(one, what) for one in found]) for what in _FIELDS]
    return [*outputs, np.array([one.found for one in found], np.float32)]


_FIELDS = ("boxes", "classes", "scores")


def clear_boxes(outputs: Sequence[Array]) -> list[Array]:
    """The four outputs with zeros where the operator leaves what it found in other photos.

    Args:
        outputs: as of `find_boxes`, in the operator's order.
    """
    counts = outputs[COUNT].reshape(-1).astype(int)
    cleared = [np.array(outputs[place]) for place in (BOXES, CLASSES, SCORES)]
    for values in cleared:
        for item, count in zip(values, counts, strict=True):
            item[count:] = 0
    return [*cleared, outputs[COUNT]]
