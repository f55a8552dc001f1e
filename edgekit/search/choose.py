"""Chooses variants, resolutions and widths that fit a chip, by the target's own tools."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.converters.tflite.untrained import write_untrained
from edgekit.errors import CompileError, GateError, UsageError
from edgekit.search.candidates import Candidate, list_candidates
from edgekit.search.estimates import ENDING, Estimate, estimate
from edgekit.search.limits import MEMORIES, TITLES, Limits, Need, find_needs
from edgekit.system.console import Console, NullConsole
from edgekit.targets import registry
from edgekit.targets.base import Target
from edgekit.targets.executions import ChipFigures

#: What needs this many times a limit is so far from it that nothing larger of the same blocks is
#: tried, and what needs that many times, nothing larger of any.
FAR, VERY_FAR = 1.5, 3.0


@dataclass(frozen=True)
class Choice:
    """A network, and whether it fits.

    Attributes:
        candidate: the network.
        size_bytes: of its int8 file; estimated where none was written.
        figures: what it needs on the chip; None where that was not asked.
        needs: how much of each limit.
        problem: why it does not fit, or was not tried; None where it fits.
        command: that builds it.
    """

    candidate: Candidate
    size_bytes: int
    figures: ChipFigures | None
    needs: tuple[Need, ...]
    problem: str | None
    command: str = ""

    @property
    def fits(self) -> bool:
        """Whether all limits are kept."""
        return self.problem is None

    @property
    def worst(self) -> float:
        """What it needs of the limit that it is furthest from, of what is allowed."""
        return max((need.ratio for need in self.needs), default=float("inf"))

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""
        return {
            **self.candidate.to_dict(),
            "size_bytes": self.size_bytes,
            "fits": self.fits,
            "problem": self.problem,
            "figures": self.figures.to_dict() if self.figures else None,
            "command": self.command,
        }


def choose(
    target: str,
    limits: Limits | Mapping[str, float],
    among: Mapping[str, Any] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    ask: Estimate = estimate,
    console: Console | None = None,
) -> list[Choice]:
    """Tries variants, resolutions and widths on a target; those that fit come first.

    What is tried has random weights: a compiler says what a network costs, not how well it does.
    Those that fit are sorted by their published top-1 on ImageNet. There is none for another
    resolution or width: these are behind them, by their multiply-accumulates.

    Args:
        target: its name.
        limits: what is allowed: ``latency`` in milliseconds, ``sram``, ``flash`` and ``size`` in
            bytes, ``max_drop`` in points.
        among: what is tried: ``models`` by name, all by default; ``resolutions``, by default each
            variant's own and three smaller ones; ``widths``, multipliers of the channels;
            ``classes``, how many logits.
        options: of the target, by the names of their fields.
        ask: says what a file needs there; by default the target, through the user's cache.
        console: where progress is shown.

    Raises:
        UsageError: nothing is limited, a name or a number is wrong, or nothing estimates for the
            target.
        MissingToolError: what estimates is not installed.
        EdgekitError: it failed.
    """
    limits = limits if isinstance(limits, Limits) else Limits(**limits)  # type: ignore[arg-type]
    found, asked = _target(target, limits, options or {})
    if found.ending != ENDING:
        raise UsageError(
            f"choose is not for the target {target}",
            cause=f"candidates are written as {ENDING}, and it takes {found.takes}",
            hint=f"edgekit build --target {target} says what one network needs",
        )
    candidates = list_candidates(**(among or {}))
    console = console or NullConsole()
    choices: list[Choice] = []
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-") as folder,
        console.stage(1, 1, f"{len(candidates)} networks on {found.title}") as stage,
    ):
        for place, candidate in enumerate(candidates):
            console.progress("try", place, len(candidates), candidate.text)
            made = _try(candidate, found, limits, choices, Path(folder), ask)
            choices.append(replace(made, command=shlex.join([*made.candidate.words(), *asked])))
        stage.detail = f"{sum(choice.fits for choice in choices)} fit"
    return sorted(choices, key=_rank)


def demand_one(choices: Sequence[Choice]) -> None:
    """Refuses a list in which nothing fits.

    Raises:
        GateError: nothing does; the nearest is named.
    """
    if any(choice.fits for choice in choices):
        return
    nearest = min(choices, key=lambda choice: choice.worst)
    raise GateError(
        f"none of {len(choices)} networks fits",
        cause=f"the nearest is {nearest.candidate.text}: {nearest.problem}",
        hint="allow more, or try smaller ones with --resolutions and --widths",
    )


def _target(name: str, limits: Limits, options: Mapping[str, Any]) -> tuple[Target, list[str]]:
    """The target, asked to keep to a limit where it has such an option; and words of a build."""
    fields = {
        item.name: item for item in registry.option_fields(registry.find(name).compiler_options)
    }
    own = {
        limit: str(value)
        for limit in MEMORIES
        if limit in fields and (value := getattr(limits, limit)) is not None
    }
    given = own | dict(options)
    target = registry.find(name, given)
    limits.check(target)
    words = ["--target", target.name]
    for field, value in given.items():
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        words += ["--target-option", f"{name}.{registry.option_flag(fields[field])}={text}"]
    return target, words


def _try(
    candidate: Candidate,
    target: Target,
    limits: Limits,
    earlier: Sequence[Choice],
    folder: Path,
    ask: Estimate,
) -> Choice:
    made = partial(Choice, candidate)
    if problem := _hopeless(candidate, limits, earlier):
        return made(candidate.file_bytes, None, (), problem)
    path = folder / f"candidate{ENDING}"
    try:
        contents = write_untrained(
            candidate.spec,
            candidate.resolution,
            classes=candidate.classes,
            rewrite=target.prepare,
        )
    except UsageError as error:  # the target cannot have it at this resolution
        return made(candidate.file_bytes, None, (), error.message)
    path.write_bytes(contents)
    try:
        figures = ask(path, target)
    except CompileError as error:
        return made(candidate.file_bytes, None, (), error.cause or error.message)
    if figures.latency_ms is None and (published := _published_ms(candidate, target)) is not None:
        figures = figures.merged(ChipFigures(latency_ms=published, latency_by="as published"))
    needs = tuple(find_needs(limits, len(contents), figures, target.memories))
    missed = [str(need) for need in needs if need.ratio > 1]
    return made(len(contents), figures, needs, "; ".join(missed) or None)


def _hopeless(candidate: Candidate, limits: Limits, earlier: Sequence[Choice]) -> str | None:
    """Why a network need not be tried; None where it has to be."""
    if limits.max_drop is not None and (candidate.drop is None or candidate.drop > limits.max_drop):
        shown = "no" if candidate.drop is None else f"{candidate.drop:.2f} points"
        return f"its published drop by int8: {shown}, and {limits.max_drop:g} is allowed"
    if limits.size is not None and candidate.file_bytes > limits.size:
        return str(Need("size", candidate.file_bytes, limits.size))
    for choice in earlier:
        worst = max(choice.needs, key=lambda need: need.ratio, default=None)
        if worst is None or not FAR <= worst.ratio < float("inf"):
            continue
        alike = candidate.is_alike(choice.candidate)
        if candidate.is_larger(choice.candidate) and (alike or worst.ratio >= VERY_FAR):
            return (
                f"larger than {choice.candidate.text}, which needs {worst.ratio:.1f} times the "
                f"{TITLES[worst.limit]}"
            )
    return None


def _published_ms(candidate: Candidate, target: Target) -> float | None:
    """The latency that somebody published for the variant on the target."""
    costs = target.costs(candidate.spec) if candidate.is_own else None
    return costs.get("measured_ms") if costs else None


def _rank(choice: Choice) -> tuple[Any, ...]:
    top1 = choice.candidate.top1
    if choice.fits:
        return (0, top1 is None, -(top1 or 0), -choice.candidate.cost.macs)
    return (1, choice.worst, choice.candidate.cost.macs)
