"""The figures of a row of the report, and how the terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from edgekit.system import text as fmt
from edgekit.tasks.task import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Figures(TypedDict):
    """How right a form of the model is on n images, and how it differs from the float network."""

    top1: float  # share of the photos that are answered rightly
    top5: float  # of min(5, classes) answers: always 1 where there are at most 5 classes
    top1_ci95: list[float]  # [low, high], Wilson
    agreement: float | None  # fraction of photos with the answer of fp32-torch
    kl: float | None  # mean KL(softmax(fp32-torch) || softmax(this)) over the photos, nats
    drop_pp: float | None  # percentage points of top-1 below fp32-torch; positive is worse
    drop_se_pp: float | None  # standard error of drop_pp, paired on the same photos


def measure(
    logits: NDArray[Any], labels: NDArray[Any], reference: NDArray[Any] | None = None
) -> Figures:
    """The figures of logits [n, classes] and labels [n]; see `edgekit.tasks.task.Task.measure`."""
    from edgekit.tasks.classification import metrics

    correct = metrics.top_k(logits, labels, 1)
    n, hits = len(correct), int(correct.sum())
    agreement = divergence = drop = error = None
    if reference is not None and n:
        agreement = metrics.agreement(reference.argmax(axis=1), logits.argmax(axis=1))
        divergence = metrics.kl_divergence(reference, logits)
        drop, error = metrics.paired_drop(metrics.top_k(reference, labels, 1), correct)
    return Figures(
        top1=hits / n if n else 0.0,
        top5=float(metrics.top_k(logits, labels, 5).mean()) if n else 0.0,
        top1_ci95=list(metrics.wilson_interval(hits, n)),
        agreement=agreement,
        kl=divergence,
        drop_pp=None if drop is None else 100 * drop,
        drop_se_pp=None if error is None else 100 * error,
    )


def _drop(row: Figures) -> str:
    error = row["drop_se_pp"]
    return fmt.points(row["drop_pp"]) + (f" ± {fmt.points(error)}" if error else "")


COLUMNS = (
    Column("top-1 %", lambda row: fmt.percent(row["top1"])),
    Column("95 % interval", lambda row: " to ".join(map(fmt.percent, row["top1_ci95"])), spare=4),
    Column(
        "top-5 %",
        lambda row: fmt.percent(row["top5"]),
        spare=3,
        # With at most 5 classes it is always 1.
        is_known=lambda rows: any(row["top5"] < 1 for row in rows),
    ),
    Column("agrees %", lambda row: fmt.percent(row["agreement"]), spare=1, compares=True),
    Column("KL", lambda row: fmt.nats(row["kl"]), spare=1, compares=True),
    Column("drop pp", _drop, compares=True),
)
