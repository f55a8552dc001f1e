"""What makers' tools add to a build: which are there, and what each chip made of the photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit import runs
from edgekit.data.selection import evenly
from edgekit.data.splits import Splits
from edgekit.errors import EdgekitError
from edgekit.options.build import BuildOptions
from edgekit.pipeline.findings import read_outputs
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.stage import Outcome
from edgekit.pipeline.stages.chips import OnPart, are_same
from edgekit.report.document import Chip, make_row
from edgekit.system.files import read_json
from edgekit.targets.base import Compiled, Target
from edgekit.targets.executions import ChipFigures, Execution
from edgekit.targets.files import Form
from edgekit.tasks.registry import find_task

Outcomes = Mapping[str, Outcome]


@dataclass(frozen=True)
class Offer:
    """What a target brings to a build.

    Attributes:
        target: the target.
        has_own: whether it takes files of its own, and not the .tflite file.
        forms: those that can be written.
        executions: of its chip's arithmetic that can be run.
        missing: why others cannot, one error for each tool that is not installed.
    """

    target: Target
    has_own: bool
    forms: tuple[Form, ...]
    executions: tuple[Execution, ...]
    missing: tuple[EdgekitError, ...] = ()


def make_offer(target: Target, options: BuildOptions) -> Offer:
    """Asks a target what it brings, and leaves out what needs a tool that is not installed.

    Raises:
        MissingToolError: an extra of edgekit is not installed.
    """
    forms, executions = target.forms(options), target.executions(options)
    tools = [*(form.toolchain for form in forms), *(run.toolchain for run in executions)]
    needed = [tool for tool in tools if tool is not None]
    absent = {tool.name: tool.missing() for tool in needed if not tool.is_installed}
    written = tuple(f for f in forms if f.toolchain is None or f.toolchain.name not in absent)
    rows = {"w8a8", *(form.row for form in written)}
    runnable = tuple(e for e in executions if e.toolchain.name not in absent and e.of in rows)
    return Offer(target, bool(forms), written, runnable, tuple(absent.values()))


def forms_of(offers: Sequence[Offer]) -> list[Form]:
    """The forms of all targets, each once: two targets may take one and the same."""
    found: list[Form] = []  # what decides a form's contents may be a table, which has no hash
    for offer in offers:
        found += [form for form in offer.forms if form not in found]
    return found


def make_chips(
    offers: Sequence[Offer],
    plan: Plan,
    outcomes: Outcomes,
    compiled: Mapping[str, Compiled],
    files: Mapping[str, Path],
    splits: Splits,
) -> list[Chip]:
    """The report's table of chips: one for each execution, and for a target that has none.

    Args:
        offers: of the build's targets.
        plan: of the build.
        outcomes: of its stages.
        compiled: what compilers made, by target.
        files: of the build, by role and by row.
        splits: the photos.
    """
    chips = []
    for offer in offers:
        made = compiled.get(offer.target.name)
        known = made.chip if made is not None else None
        ran = [f"run {execution.row}" for execution in offer.executions]
        done = [role for role in ran if role in outcomes]
        for role in done:
            ran_file = files.get(plan.executions[role].of)
            own = known if made is not None and made.source == ran_file else None
            chips.append(_executed(offer.target.name, role, plan, outcomes, own, splits))
        if not done and known is not None:
            chips.append(
                Chip(
                    target=offer.target.name,
                    runtime=None,
                    kind=None,
                    row=None,
                    same=None,
                    agreement_int8=None,
                    first_difference=None,
                    figures=known.to_dict(),
                )
            )
    return chips


def _executed(
    target: str,
    role: str,
    plan: Plan,
    outcomes: Outcomes,
    compiled: ChipFigures | None,
    splits: Splits,
) -> Chip:
    preprocessing = runs.read_preprocessing(outcomes["weights"].folder)
    execution, task = plan.executions[role], find_task(preprocessing.task)
    chosen = _photos(plan, role, splits)
    outputs = np.load(outcomes[role].folder / runs.LOGITS, allow_pickle=False)
    whole = _photos(plan, "evaluate reference kernels", splits)
    places = [whole.index(k) for k in chosen if k in whole]
    int8 = read_outputs(outcomes, "reference kernels")[places]
    row = make_row(
        task,
        execution.row,
        execution.runtime,
        outputs,
        task.labels(splits.val.subset(chosen), preprocessing),
        reference=read_outputs(outcomes, "fp32-torch")[chosen],
    )
    said = read_json(outcomes[role].folder / runs.CHIP)
    figures = ChipFigures(**said["figures"])
    comparable = len(int8) == len(outputs)
    same = comparable and execution.exact
    return Chip(
        target=target,
        runtime=execution.runtime,
        kind=execution.kind,
        row=row,
        same=float(are_same(int8, outputs).mean()) if same else None,
        agreement_int8=task.compare(int8, outputs).agreement if comparable else None,
        first_difference=said["first_difference"],
        figures=(figures.merged(compiled) if compiled else figures).to_dict(),
    )


def _photos(plan: Plan, role: str, splits: Splits) -> list[int]:
    """The numbers of the validation photos that a stage runs on."""
    stage = plan.stages[role]
    assert isinstance(stage, OnPart)  # noqa: S101 - the plan has made it so
    return evenly(len(splits.val), stage.limit)
