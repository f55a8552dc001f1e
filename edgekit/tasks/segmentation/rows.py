"""The figures of a row of the report, and how the terminal shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

from edgekit.system import text as fmt
from edgekit.tasks.task import Column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Figures(TypedDict):
    """How right a form of the model is on n photos, and how it differs from the float network."""

    miou: float  # mean over the classes that are in the masks, from sums over all photos
    miou_ci95: list[float]  # [low, high], bootstrap over photos
    classes_present: int  # classes that are in the masks
    pixel_accuracy: float  # of the pixels with a class
    pixel_accuracy_ci95: list[float]  # [low, high], bootstrap over photos
    boundary_f1: float  # of outlines within 0.75 % of the diagonal, Csurka et al. 2013
    agreement: float | None  # fraction of pixels with the class of fp32-torch
    kl: float | None  # mean KL of every fourth pixel's probabilities from fp32-torch's, nats
    drop_pp: float | None  # percentage points of mIoU below fp32-torch; positive is worse
    drop_se_pp: float | None  # standard error of drop_pp, bootstrap over the same photos


def measure(
    kept: NDArray[Any], labels: NDArray[np.uint8], reference: NDArray[Any] | None = None
) -> Figures:
    """The figures of maps [n] as they are kept, and of masks; see `Task.measure`."""
    from edgekit.tasks.bootstrap import deviation, interval
    from edgekit.tasks.segmentation import metrics
    from edgekit.tasks.segmentation.boundary import boundary_f1
    from edgekit.tasks.segmentation.closeness import kl_by_photo

    found = metrics.sums(metrics.counted(kept, labels, reference))
    whole, drawn = metrics.total(found), metrics.Bootstrap.of(len(labels))
    resampled = drawn.resampled(found)
    scores, accuracies = metrics.mean_iou(resampled), metrics.pixel_accuracy(resampled)
    score = float(metrics.mean_iou(whole))
    agreement = divergence = drop = error = None
    if reference is not None and len(labels):
        agreement = metrics.agreement(reference, kept)
        divergence = _known(float(kl_by_photo(reference, kept).mean()))
        before = metrics.sums(metrics.counted(reference, labels, kept))
        drop = float(metrics.mean_iou(metrics.total(before))) - score
        error = deviation(metrics.mean_iou(drawn.resampled(before)) - scores)
    return Figures(
        miou=score,
        miou_ci95=interval(scores),
        classes_present=int((whole.true > 0).sum()),
        pixel_accuracy=float(metrics.pixel_accuracy(whole)),
        pixel_accuracy_ci95=interval(accuracies),
        boundary_f1=boundary_f1(kept, labels),
        agreement=agreement,
        kl=divergence,
        drop_pp=None if drop is None else 100 * drop,
        drop_se_pp=None if error is None else _known(100 * error),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _drop(row: Figures) -> str:
    error = row["drop_se_pp"]
    return fmt.points(row["drop_pp"]) + (f" ± {fmt.points(error)}" if error else "")


def _interval(row: Figures) -> str:
    return " to ".join(map(fmt.percent, row["miou_ci95"]))


COLUMNS = (
    Column("mIoU %", lambda row: fmt.percent(row["miou"])),
    Column("95 % interval", _interval, spare=4),
    Column("classes", lambda row: str(row["classes_present"]), spare=5),
    Column("pixels %", lambda row: fmt.percent(row["pixel_accuracy"]), spare=3),
    Column("outlines %", lambda row: fmt.percent(row["boundary_f1"]), spare=4),
    Column("agrees %", lambda row: fmt.percent(row["agreement"]), spare=1, compares=True),
    Column("KL", lambda row: fmt.nats(row["kl"]), spare=1, compares=True),
    Column("drop pp", _drop, compares=True),
)
