"""What the detections of the forms of a network say beyond their AP: class by class, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClassFigures(TypedDict):
    """How well one class is found, by form of the network; None where it has no box."""

    label: str  # of the class
    color: str  # as the photos are drawn, #rrggbb
    boxes: int  # of the class, without crowds
    ap: list[float | None]  # in the order of `Evaluation.forms`
    ap50: list[float | None]  # likewise, at the IoU threshold 0.50
    drop_pp: float | None  # points of AP that the last form is below the first


class Curve(TypedDict):
    """Precision over recall, the mean over the classes with boxes."""

    form: str  # the stage
    iou: float  # the threshold
    precision: list[float]  # at 101 recalls from 0 to 1


class Evaluation(TypedDict):
    """The detections of the forms on the validation photos, by class."""

    of: str  # the first form, for example fp32-torch
    forms: list[str]  # the stages: that of the float network, and of the int8 file
    n: int  # photos
    labels: list[str]  # of the classes, in order
    boxes: int  # without crowds
    present: int  # classes that have a box
    per_class: list[ClassFigures]  # all, in order
    curves: list[Curve]  # of each form, at 0.50 and 0.75


def evaluate_detections(
    forms: Mapping[str, NDArray[Any]], truths: NDArray[Any], names: Sequence[str]
) -> Evaluation:
    """Computes the figures of each form by class.

    Args:
        forms: what is kept of the outputs of n photos by form, the float network first.
        truths: of the same.
        names: of the classes, in order.

    Raises:
        UsageError: the arrays do not belong together.
    """
    from edgekit.tasks.detection.coco import evaluate_coco
    from edgekit.tasks.detection.matching import AT_50, AT_75, LIMITS, match
    from edgekit.tasks.detection.overlay import box_colors

    found = [evaluate_coco(kept, truths) for kept in forms.values()]
    boxes = match(next(iter(forms.values())), truths).wanted.sum(axis=0)
    per_class = []
    for place, name in enumerate(names):
        ap = [figures.ap(category=place) for figures in found]
        drop = 100 * (ap[0] - ap[-1]) if ap[0] is not None and ap[-1] is not None else None
        red, green, blue = box_colors(len(names))[place].tolist()
        per_class.append(
            ClassFigures(
                label=name,
                color=f"#{red:02x}{green:02x}{blue:02x}",
                boxes=int(boxes[place]),
                ap=ap,
                ap50=[figures.ap(AT_50, category=place) for figures in found],
                drop_pp=drop if len(found) > 1 else None,
            )
        )
    curves = [
        Curve(form=form, iou=float(LIMITS[limit]), precision=precision)
        for limit in (AT_50, AT_75)
        for form, figures in zip(forms, found, strict=True)
        if (precision := figures.curve(limit)) is not None
    ]
    return Evaluation(
        of=next(iter(forms)),
        forms=list(forms),
        n=len(truths),
        labels=list(names),
        boxes=int(boxes.sum()),
        present=int((boxes > 0).sum()),
        per_class=per_class,
        curves=curves,
    )
