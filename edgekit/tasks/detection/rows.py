"""The figures of a row of the report, and how the terminal shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

from edgekit.system import text as fmt
from edgekit.tasks.task import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Sets of photos of a bootstrap: AP of each is of all its detections, sorted by score.
RESAMPLES = 500


class Figures(TypedDict):
    """How right a form of the model is on n photos, and how it differs from the float network."""

    ap: float  # COCO AP: the mean over classes, and over IoU thresholds from 0.50 to 0.95
    ap_ci95: list[float]  # [low, high], bootstrap over photos
    ap50: float  # at the IoU threshold 0.50
    ap50_ci95: list[float]  # likewise
    ap75: float  # at 0.75
    ap75_ci95: list[float]  # likewise
    ap_small: float | None  # of things below 32² pixels of the photo; None where there is none
    ap_medium: float | None  # to 96²
    ap_large: float | None  # above
    ar100: float | None  # mean recall with 100 detections of a class
    classes_present: int  # classes that have a box
    agreement: float | None  # of fp32-torch's detections, those found again; see `closeness.Again`
    agreement_iou: float | None  # their mean IoU
    score_difference: float | None  # their mean score less fp32-torch's
    kl: float | None  # mean divergence of the anchors that find something, nats; see `closeness`
    drop_pp: float | None  # percentage points of AP below fp32-torch; positive is worse
    drop_se_pp: float | None  # standard error of drop_pp, bootstrap over the same photos


def measure(
    kept: NDArray[Any], truths: NDArray[Any], reference: NDArray[Any] | None = None
) -> Figures:
    """The figures of n images as they are kept, and of their boxes; see `Task.measure`."""
    from edgekit.tasks.bootstrap import deviation, draw_sets, interval
    from edgekit.tasks.detection import closeness
    from edgekit.tasks.detection.coco import evaluate_coco
    from edgekit.tasks.detection.matching import AT_50, AT_75, match
    from edgekit.tasks.detection.precision import average_precisions, mean_precision

    matches, coco = match(kept, truths), evaluate_coco(kept, truths)
    sets = draw_sets(len(truths), RESAMPLES)
    resampled = average_precisions(matches, sets)
    scores = mean_precision(resampled)
    score = _or_nan(coco.ap())
    again = closeness.Again(math.nan, math.nan, math.nan)
    divergence = drop = error = math.nan
    if reference is not None and len(truths):
        again = closeness.find_again(reference, kept)
        divergence = float(closeness.kl_by_photo(reference, kept).mean())
        before = match(reference, truths)
        drop = float(mean_precision(average_precisions(before))) - score
        error = deviation(mean_precision(average_precisions(before, sets)) - scores)
    return Figures(
        ap=score,
        ap_ci95=interval(scores),
        ap50=_or_nan(coco.ap(AT_50)),
        ap50_ci95=interval(mean_precision(resampled, AT_50)),
        ap75=_or_nan(coco.ap(AT_75)),
        ap75_ci95=interval(mean_precision(resampled, AT_75)),
        ap_small=coco.ap(area="small"),
        ap_medium=coco.ap(area="medium"),
        ap_large=coco.ap(area="large"),
        ar100=coco.ar(),
        classes_present=int((matches.wanted.sum(axis=0) > 0).sum()),
        agreement=_known(again.share),
        agreement_iou=_known(again.iou),
        score_difference=_known(again.score_difference),
        kl=_known(divergence),
        drop_pp=_known(100 * drop),
        drop_se_pp=_known(100 * error),
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _drop(row: Figures) -> str:
    error = row["drop_se_pp"]
    return fmt.points(row["drop_pp"]) + (f" ± {fmt.points(error)}" if error else "")


def _interval(row: Figures) -> str:
    return " to ".join(map(fmt.percent, row["ap_ci95"]))


def _areas(row: Figures) -> str:
    return " / ".join(fmt.percent(row[name]) for name in ("ap_small", "ap_medium", "ap_large"))


COLUMNS = (
    Column("AP %", lambda row: fmt.percent(row["ap"])),
    Column("95 % interval", _interval, spare=4),
    Column("AP50 %", lambda row: fmt.percent(row["ap50"]), spare=2),
    Column("AP75 %", lambda row: fmt.percent(row["ap75"]), spare=3),
    Column("small / medium / large %", _areas, spare=5),
    Column("agrees %", lambda row: fmt.percent(row["agreement"]), spare=1, compares=True),
    Column("KL", lambda row: fmt.nats(row["kl"]), spare=1, compares=True),
    Column("drop pp", _drop, compares=True),
)
