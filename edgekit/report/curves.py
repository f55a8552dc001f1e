"""A training run as the page tells it: its curves, and its figures in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit.report.document import Epoch, Training
from edgekit.system import text as fmt
from edgekit.tasks.task import Metric

if TYPE_CHECKING:
    from markupsafe import Markup


class Run(NamedTuple):
    """A run, ready to be set in type."""

    name: str
    words: str
    charts: list[tuple[str, Markup]]  # titles and drawings
    recipe: dict[str, Any]


def validated(epoch: Epoch, metric: Metric) -> float | None:
    """The task's metric after an epoch; None where it was not measured."""
    values: Mapping[str, Any] = metric.from_record(epoch)
    score: float | None = values["val_score"]
    return score


def draw_run(training: Training, metric: Metric) -> Run:
    """Draws and describes a run."""
    history = training["history"]
    return Run(
        name=training.get("name", ""),
        words=in_words(history, metric),
        charts=draw_curves(history, metric),
        recipe=training.get("recipe", {}),
    )


def draw_curves(history: Sequence[Epoch], metric: Metric) -> list[tuple[str, Markup]]:
    """Draws what changed from epoch to epoch; fewer than two epochs make no curve."""
    from edgekit.report.plots import line_chart

    if len(history) < 2:
        return []
    epochs = [epoch["epoch"] for epoch in history]
    scores = [validated(epoch, metric) for epoch in history]
    sizes = [epoch.get("resolution") for epoch in history]
    curves: list[tuple[str, str, list[float | None]]] = [
        ("Training loss", "", [epoch["train_loss"] for epoch in history]),
        (
            f"Validation {metric.name}",
            "%",
            _percent(scores),
        ),
        ("Learning rate", "", [epoch["learning_rate"] for epoch in history]),
        ("Throughput", "images/s", [epoch.get("images_per_s") for epoch in history]),
        ("Waiting for data", "%", _percent([epoch.get("waiting") for epoch in history])),
        ("Image size", "px", list(sizes) if len(set(sizes)) > 1 else []),
    ]
    charts = [
        (
            f"{title}, {unit}" if unit else title,
            line_chart(f"{title} per epoch", unit, epochs, values, stepped=title == "Image size"),
        )
        for title, unit, values in curves
        if values
    ]
    return [(title, chart) for title, chart in charts if chart]


def in_words(history: Sequence[Epoch], metric: Metric) -> str:
    """How long a run took, how it ended, and how fast it was."""
    if not history:
        return "No epoch was trained."
    last = history[-1]
    count = f"{len(history)} epoch" + "s" * (len(history) != 1)
    score = validated(last, metric)
    scored = "" if score is None else f"validation {metric.name} {fmt.percent(score)} %, "
    told = [
        f"{count} in {fmt.seconds(sum(epoch['seconds'] for epoch in history))}",
        f"last: loss {fmt.nats(last['train_loss'])}, {scored}"
        f"learning rate {last['learning_rate']:.2g}",
        _pace(history),
    ]
    return "; ".join(filter(None, told)) + "."


def _pace(history: Sequence[Epoch]) -> str:
    """Throughput and waiting over all epochs, which have equally many photos."""
    # So an epoch counts by the time that it took, which is the inverse of its rate.
    timed = [
        (1 / rate, epoch.get("waiting")) for epoch in history if (rate := epoch.get("images_per_s"))
    ]
    if not timed:
        return ""
    total = sum(time for time, _ in timed)
    pace = f"{fmt.rate(len(timed) / total)} images/s"
    waited = [time * share for time, share in timed if share is not None]
    if len(waited) < len(timed):
        return pace
    return f"{pace}, {100 * sum(waited) / total:.0f} % of the time waiting for data"


def _percent(shares: Sequence[float | None]) -> list[float | None]:
    return [None if share is None else 100 * share for share in shares]
