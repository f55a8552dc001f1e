"""``edgekit drift LOG --run RUN``: whether a deployed model answers as it did before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.errors import GateError

if TYPE_CHECKING:
    from edgekit.tasks.drift import Drift

#: Classes whose shares are shown.
SHOWN = 8


def command(
    log: Annotated[
        Path, typer.Argument(help="What classify.py keeps with --log; LOG.1 is read, too.")
    ],
    run: Annotated[Path, typer.Option(help="The run whose model was deployed.")],
    since: Annotated[
        str | None,
        typer.Option(help="Answers from then on: 2026-11-30, or with a time.", show_default=False),
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="End with 5 where it has changed.")] = False,
    json: Json = False,
) -> None:
    """Compare what a deployed model answers with what it answered for the validation photos.

    Nothing there has a label: it is how sure answers are, their energy and how often each class is
    given that may change, by another camera, other light or other things in front of it. A change
    counts where it is neither chance nor too small to matter.
    """
    from edgekit.report.answer_log import read_log, read_validation

    found = read_log(log, since)
    task, before = read_validation(run, found)
    drift = task.find_drift(before, found.scores, found.labels)
    if json:
        from json import dumps

        document = {"schema_version": 1, "log": str(log), **drift.to_dict(), "ms": found.latency}
        print(dumps(document, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(drift, found.latency)))
    if gate and drift.has_changed:
        names = ", ".join(change.name for change in drift.changes if change.has_changed)
        raise GateError(
            f"the model answers otherwise than before: {names}",
            cause=f"of {drift.n:,} answers beside {drift.n_before:,} validation photos",
            hint="look at photos of today, and train on such",
        )


def _lines(drift: Drift, latency: dict[str, Any]) -> list[str]:
    from edgekit.system.text import NOTHING, percent

    def mean(value: float | None) -> str:
        return NOTHING if value is None else f"{value:.3f}"

    lines = [f"{'':<14} {'before':>8} {'now':>8} {'distance':>9} {'p':>9}"]
    for change in drift.changes:
        lines.append(
            f"{change.name:<14} {mean(change.before):>8} {mean(change.now):>8} "
            f"{change.distance:>9.3f} {change.p_value:>9.2g}"
            f"{'  changed' if change.has_changed else ''}"
        )
    ranked = sorted(drift.shares.items(), key=lambda one: -abs(one[1][0] - one[1][1]))
    lines += [
        f"{name}: {percent(old)} % of the answers before, {percent(new)} % now"
        for name, (old, new) in ranked[:SHOWN]
    ]
    lines.append(f"latency in ms: median {latency['median']:g}, p95 {latency['p95']:g}")
    changed = "has changed" if drift.has_changed else "has not changed beyond chance"
    return [*lines, f"what it answers {changed}: {drift.n:,} answers, {drift.n_before:,} photos"]
