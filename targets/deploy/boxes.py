"""What only a detector's program must know, and how its boxes are held against this host's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.converters.file_task import FileTask
from edgekit.converters.tflite.detections import find_post_process
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.tasks.detection.overlay import box_colors

#: Boxes that are compared, the best ones; the score from which; and how far apart, in fractions of
#: the input and of the score, the same box may be on two runtimes that round differently.
COMPARED, LOWEST, APART, SCORE_APART = 10, 0.05, 0.03, 0.1


def of_detector(
    model: TFLiteModel, task: FileTask, preprocessing: Preprocessing, classes: int
) -> dict[str, Any]:
    """The part of ``model.json`` that only detectors have.

    Returns:
        ``fit`` and ``margin`` of photos, ``ends`` (of each output that is read: its place among the
        model's, and how its integers stand for reals), ``anchors`` (as `Anchors.to_dict` has them;
        None of a model that ends with boxes) and the ``colors`` of the classes.

    Raises:
        UsageError: nothing says what a raw model's outputs are relative to.
    """
    op = find_post_process(model) if task.boxes is not None else None
    places = [model.outputs.index(index) for index in op.outputs] if op else [0, 1]
    ends = [(place, model.tensors[model.outputs[place]]) for place in places]
    if op is None and preprocessing.anchors is None:
        raise UsageError("nothing says what the boxes are relative to")
    return {
        "fit": preprocessing.fit,
        "margin": list(preprocessing.margin),
        "ends": [
            {"place": place, "scale": end.scale, "zero_point": end.zero_point or 0}
            for place, end in ends
        ],
        "anchors": None if op or not preprocessing.anchors else preprocessing.anchors.to_dict(),
        "colors": box_colors(max(classes, 1)).tolist(),
    }


def share_found(here: NDArray[Any], there: NDArray[Any]) -> tuple[float, int]:
    """Which part of this host's best boxes a device has, too; and how many were looked for.

    Args:
        here: real [k, 6]: top, left, bottom, right in fractions of the input, score, class.
        there: likewise.
    """
    best = here[here[:, 4] >= LOWEST][:COMPARED]
    if not len(best):
        return 1.0, 0
    other = there.reshape(-1, 6)
    apart = np.abs(best[:, None, :4] - other[None, :, :4]).max(axis=2, initial=0.0)
    same = (apart <= APART) & (best[:, None, 5] == other[None, :, 5])
    same &= np.abs(best[:, None, 4] - other[None, :, 4]) <= SCORE_APART
    return float(same.any(axis=1).mean()), len(best)
