"""What the maps of the forms of a network say beyond their mean IoU: class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 10  # pairs of classes that are confused most often


class Confused(TypedDict):
    """How many pixels of one class were answered with another."""

    truth: str  # the class in the mask
    answer: str  # the class that was answered
    share: float  # of the pixels of the true class


class ClassFigures(TypedDict):
    """How well one class is found, by form of the network; None where it is in no mask."""

    label: str  # of the class
    color: str  # as the photos are drawn, #rrggbb
    share: float  # of the pixels with a class
    iou: list[float | None]  # in the order of `Evaluation.forms`
    dice: list[float | None]  # likewise
    drop_pp: float | None  # points of IoU that the last form is below the first


class Evaluation(TypedDict):
    """The maps of the forms on the validation photos, by class."""

    of: str  # the first form, for example fp32-torch
    forms: list[str]  # the stages: that of the float network, and of the int8 file
    n: int  # photos
    labels: list[str]  # of the classes, in order
    present: int  # classes that are in the masks
    per_class: list[ClassFigures]  # all, in order
    confused: list[Confused]  # by the first form, the largest share first


def evaluate_maps(
    forms: Mapping[str, NDArray[Any]], labels: NDArray[np.uint8], names: Sequence[str]
) -> Evaluation:
    """Counts the pixels of each form by class.

    Args:
        forms: what is kept of the maps of n photos by form, the float network first.
        labels: masks, uint8 [n, height, width].
        names: of the classes, in order.

    Raises:
        UsageError: the arrays do not belong together.
    """
    from edgekit.data.palette import class_colors
    from edgekit.tasks.segmentation import metrics

    count = len(names)
    matrices = [metrics.confusions(kept, labels, count).sum(axis=0) for kept in forms.values()]
    found = [metrics.sums(matrix) for matrix in matrices]
    ious, dices = ([of(sums) for sums in found] for of in (metrics.iou, metrics.dice))
    true = found[0].true
    colors = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in class_colors(count)]
    per_class = [
        ClassFigures(
            label=name,
            color=colors[place],
            share=float(true[place] / max(true.sum(), 1)),
            iou=[_known(values[place]) for values in ious],
            dice=[_known(values[place]) for values in dices],
            drop_pp=_known(100 * (ious[0][place] - ious[-1][place])) if len(ious) > 1 else None,
        )
        for place, name in enumerate(names)
    ]
    return Evaluation(
        of=next(iter(forms)),
        forms=list(forms),
        n=len(labels),
        labels=list(names),
        present=int((true > 0).sum()),
        per_class=per_class,
        confused=_most_confused(matrices[0], names),
    )


def _most_confused(counts: NDArray[np.int64], names: Sequence[str]) -> list[Confused]:
    import numpy as np

    wrong = counts * ~np.eye(len(counts), dtype=bool) / np.maximum(counts.sum(axis=1), 1)[:, None]
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST]
    pairs = zip(*(axis.tolist() for axis in np.unravel_index(order, wrong.shape)), strict=True)
    return [
        Confused(truth=names[truth], answer=names[answer], share=float(wrong[truth, answer]))
        for truth, answer in pairs
        if wrong[truth, answer]
    ]


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
