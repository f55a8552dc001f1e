"""Two runs beside each other: what was asked for, what came out, and whether that is chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgekit.errors import UsageError
from edgekit.report.diagnosis import BEYOND_NOISE, emitted
from edgekit.report.document import REFERENCE, Document, Row, task_of, write_text
from edgekit.report.html import FOLDER
from edgekit.runs import LOGITS, MANIFEST, REPORT, FinishedRun, open_run
from edgekit.system import text as fmt
from edgekit.system.files import read_json
from edgekit.system.paths import StrPath
from edgekit.tasks.task import Task
from edgekit.version import __version__

#: Options that say where a run is, and not what it is.
OF_PLACE = ("out", "threads", "resume", "overwrite", "dry_run")


@dataclass(frozen=True)
class Paired:
    """Of two sets of answers to the same photos, the second beside the first.

    Attributes:
        drop_pp: points of the metric that the second has less.
        standard_error_pp: of that, from photo to photo.
        agreement: share of equal answers; None where there are none such.
    """

    drop_pp: float
    standard_error_pp: float
    agreement: float | None

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> Paired:
        """What `edgekit.tasks.task.Task.measure` gave with the first as the reference."""
        error = float(figures["drop_se_pp"] or 0.0)
        return cls(float(figures["drop_pp"]), error, figures["agreement"])

    @property
    def p_value(self) -> float:
        """Of as large a difference by chance, were both as good; two-sided."""
        if not self.standard_error_pp:
            return 0.0 if self.drop_pp else 1.0
        return math.erfc(abs(self.drop_pp) / self.standard_error_pp / math.sqrt(2))

    @property
    def half_width_pp(self) -> float:
        """Of the interval of 95 % round the difference."""
        return BEYOND_NOISE * self.standard_error_pp

    @property
    def is_beyond_noise(self) -> bool:
        """Whether the difference is more than photos by chance would make."""
        return abs(self.drop_pp) > self.half_width_pp

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        more = {"p_value": self.p_value, "beyond_noise": self.is_beyond_noise}
        return {**vars(self), **more}

    def sentence(self, name: str, metric: str, n: int) -> str:
        """Whether the second is worse, in words."""
        how = "more" if self.drop_pp < 0 else "less"
        agrees = (
            "" if self.agreement is None else f", and agrees on {fmt.percent(self.agreement)} %"
        )
        return (
            f"{name} has {abs(self.drop_pp):.2f} ± {self.half_width_pp:.2f} points of {metric} "
            f"{how}{agrees}: {'beyond' if self.is_beyond_noise else 'within'} the noise of {n:,} "
            f"photos (p = {self.p_value:.2g})"
        )


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Attributes:
        folder: of the run.
        document: its ``report.json``.
        options: what it was asked for.
        run: its stages; None where they were removed.
    """

    folder: Path
    document: Document
    options: Mapping[str, Any]
    run: FinishedRun | None

    @property
    def task(self) -> Task:
        """What its network is for."""
        return task_of(self.document)

    @property
    def rows(self) -> dict[str, Row]:
        """By the name of the stage."""
        return {row["stage"]: row for row in self.document["rows"]}


@dataclass(frozen=True)
class Comparison:
    """Of two runs.

    Attributes:
        sides: the runs, the earlier one first.
        differing: options that are not the same, with both values.
        paired: by the name of a stage, the second's answers beside the first's; empty where the
            photos are others, or answers were removed.
        why_not: why there are no paired figures; None where there are.
    """

    sides: tuple[Side, Side]
    differing: Mapping[str, tuple[Any, Any]]
    paired: Mapping[str, Paired]
    why_not: str | None

    @property
    def stages(self) -> list[str]:
        """Those of both, in the order of the first."""
        first, second = (side.rows for side in self.sides)
        return list(dict.fromkeys([*first, *second]))

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "schema_version": 1,
            "runs": [str(side.folder) for side in self.sides],
            "differing": {name: list(values) for name, values in self.differing.items()},
            "rows": {stage: [side.rows.get(stage) for side in self.sides] for stage in self.stages},
            "paired": {stage: one.to_dict() for stage, one in self.paired.items()},
            "why_not_paired": self.why_not,
        }


def open_side(folder: StrPath) -> Side:
    """Reads a run.

    Raises:
        UsageError: the folder holds none.
    """
    folder = Path(folder)
    try:
        document = cast("Document", read_json(folder / REPORT))
        options = read_json(folder / MANIFEST)["options"]
        _ = document["rows"], document["preprocessing"], dict(options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder} holds no finished run",
            cause=f"{type(error).__name__}: {error}",
            hint="a folder that `edgekit build` wrote",
        ) from error
    try:
        run = open_run(folder)
    except UsageError:
        run = None
    return Side(folder, document, options, run)


def compare_runs(first: StrPath, second: StrPath) -> Comparison:
    """Compares two runs; where their validation photos are the same ones, photo by photo.

    Raises:
        UsageError: a folder holds no run, or they are of different tasks.
    """
    sides = open_side(first), open_side(second)
    if sides[0].task.name != sides[1].task.name:
        raise UsageError(f"{first} and {second} are not of one task")
    names = sorted({*sides[0].options, *sides[1].options} - {*OF_PLACE})
    values = {name: (sides[0].options.get(name), sides[1].options.get(name)) for name in names}
    differing = {name: both for name, both in values.items() if both[0] != both[1]}
    paired, why = _pair(sides)
    return Comparison(sides, differing, paired, why)


def _pair(sides: tuple[Side, Side]) -> tuple[dict[str, Paired], str | None]:
    runs = [side.run for side in sides]
    if None in runs:
        return {}, "the stages of a run were removed"
    first, second = cast("list[FinishedRun]", runs)
    try:
        mine, its = first.splits(), second.splits()
    except UsageError:
        return {}, "the stages of a run were removed"
    if (mine.labels, mine.val.digest()) != (its.labels, its.val.digest()):
        return {}, "their validation photos are not the same"
    task, found = sides[0].task, {}
    labels = task.labels(mine.val, first.preprocessing)
    for stage in sides[0].rows:
        roles = f"evaluate {stage}"
        if not (first.has(roles, LOGITS) and second.has(roles, LOGITS)):
            continue
        before, after = (
            np.load(run.stages[roles] / LOGITS, allow_pickle=False) for run in (first, second)
        )
        if len(before) == len(after) == len(mine.val):
            found[stage] = Paired.of(task.measure(after, labels, before))
    return found, None if found else "no answers were kept"


def write_comparison(comparison: Comparison, path: StrPath) -> None:
    """Writes a page, which needs neither a network, nor a script, nor a server.

    Raises:
        EdgekitError: the file cannot be written.
    """
    write_text(path, render(comparison))


def render(comparison: Comparison) -> str:
    """Returns the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=fmt.percent, size=fmt.size, ms=fmt.milliseconds)
    first, second = comparison.sides
    return environment.get_template("comparison.html.j2").render(
        version=__version__,
        comparison=comparison,
        first=first,
        second=second,
        metric=first.task.metric,
        verdict=verdict(comparison),
    )


def verdict(comparison: Comparison) -> str:
    """Whether the second run's int8 file is worse than the first's, in a sentence."""
    first, second = comparison.sides
    rows = emitted(first.document["rows"]), emitted(second.document["rows"])
    if rows[0] is None or rows[1] is None:
        rows = first.rows.get(REFERENCE), second.rows.get(REFERENCE)
    if rows[0] is None or rows[1] is None:
        return "A run has no row to compare."
    metric, stage = first.task.metric, rows[1]["stage"]
    if stage in comparison.paired:
        words = comparison.paired[stage].sentence(second.folder.name, metric.name, rows[1]["n"])
        return f"{words}."
    figures = [fmt.percent(metric.value(cast("Mapping[str, object]", row))) for row in rows]
    return (
        f"{second.folder.name} has {figures[1]} % {metric.name}, {first.folder.name} "
        f"{figures[0]} %: not compared photo by photo, as {comparison.why_not}."
    )
