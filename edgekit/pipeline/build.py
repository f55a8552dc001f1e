"""Runs a build: the stages in order, the targets, and the files that the user takes away."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import runs
from edgekit.errors import CompileError, EdgekitError, GateError, MissingToolError, UsageError
from edgekit.networks.efficientnet.catalog import known_risk
from edgekit.networks.schemes import FINE_TO_COARSE, W8A8, scheme_of
from edgekit.options.build import BuildOptions
from edgekit.pipeline.auto_quantize import describe_search, read_search
from edgekit.pipeline.chips import Offer, forms_of, make_chips, make_offer
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.pipeline.run_folder import RUNS, choose_folder, opened, translated
from edgekit.pipeline.stage import Outcome, Stage, StageStore
from edgekit.pipeline.stage_runner import StageRun
from edgekit.runs import STAGES
from edgekit.system.console import Console, NullConsole
from edgekit.system.files import read_json
from edgekit.targets import registry
from edgekit.targets.base import Compiled, Examination, Target
from edgekit.training import outputs

if TYPE_CHECKING:
    from edgekit.networks.graph import Graph
    from edgekit.report.document import Device, Document, Row
    from edgekit.report.document import Target as TargetEntry


#: Of a target that is not finished, by what kept it from that.
STATUS = (
    (MissingToolError, "not compiled"),
    (CompileError, "rejected"),
    (GateError, "gate not met"),
)


@dataclass(frozen=True)
class Run:
    """A finished build.

    Attributes:
        folder: what ``--out`` named.
        document: what ``report.json`` holds; None after a dry run.
        files: what the build made, by name: ``fp32``, ``w8a8-static`` (``w8a8-mixed`` where
            layers were kept in float), further schemes, ``graph``, ``quantized``, ``labels``,
            ``history`` of the training, ``report.json``, ``report.html``, ``manifest.json``, and
            per target the compiled file.
        problem: what kept a target from being finished, if anything did. Everything else is
            done and kept. Its ``exit_code`` is that of the command line.
        planned: after a dry run, what the build would do, a line each.
    """

    folder: Path
    document: Document | None
    files: dict[str, Path] = field(default_factory=dict)
    problem: EdgekitError | None = None
    planned: tuple[str, ...] = ()

    @property
    def rows(self) -> list[Row]:
        """The report's rows, one per form of the model."""
        return self.document["rows"] if self.document else []

    @cached_property
    def graph(self) -> Graph:
        """The quantized network."""
        from edgekit.networks.graph import Graph

        return Graph.load(self.files["quantized"])


def build(model: str, *, console: Console | None = None, **options: Any) -> Run:
    """Takes a model from photos to verified files, as ``edgekit build`` does.

    Args:
        model: the variant, for example ``lite0``.
        console: where progress goes; nowhere by default.
        **options: the fields of `edgekit.options.build.BuildOptions`.

    Returns:
        The run: its rows, files and network. Look at its ``problem`` when a target needs a
        compiler.

    Raises:
        EdgekitError: what `edgekit.errors` lists; finished stages are kept.
    """
    return run_build(BuildOptions.make(model, **options), console or NullConsole())


def run_build(options: BuildOptions, console: Console) -> Run:
    """Runs what the options ask for; see `build`."""
    if "RANK" in os.environ:  # else torch need not be loaded for the answer
        from edgekit.training.world import World

        if not World.from_environment().alone:
            raise UsageError(
                "a build runs in one process",
                hint="torchrun … -m edgekit train, then edgekit build with the same options",
            )
    targets = registry.find_all(options.targets, options.target_options)
    if options.devices:
        from edgekit.targets.devices.open import check_url
        from edgekit.targets.measure.method import choose_method

        choose_method(None, options.benchmark_binary)
        for url in options.devices:
            check_url(url)
    for target in targets:
        if options.keep_float and not target.accepts_mixed:
            raise UsageError(
                f"--keep-float is not for the target {target.name}",
                cause="it runs networks that are int8 throughout",
                hint="leave one of the two out",
            )
    with translated(options.out or RUNS):
        folder = choose_folder(options)
        store = StageStore(folder / STAGES)
        offers = [make_offer(target, options) for target in targets]
        plan = make_plan(
            options,
            targets=targets,
            forms=forms_of(offers),
            executions=[execution for offer in offers for execution in offer.executions],
            warn=console.warn,
        )
    if options.dry_run:
        return Run(folder, None, planned=_describe(plan, offers, options, store, folder))
    with opened(folder, options):
        return _Build(options, plan, offers, store, folder, console).run()


class _Build(StageRun):
    """The state of one build while it runs."""

    def __init__(
        self,
        options: BuildOptions,
        plan: Plan,
        offers: Sequence[Offer],
        store: StageStore,
        folder: Path,
        console: Console,
    ) -> None:
        # The targets, the devices together, and the report.
        more = len(offers) + bool(options.devices) + 1
        super().__init__(options, plan, store, folder, console, more)
        self.offers = offers
        self.failed: dict[str, EdgekitError] = {}  # what makers' tools did not do, by role
        self.compiled: dict[str, Compiled] = {}
        self.entries: list[TargetEntry] = []
        self.devices: list[Device] = []
        self.problem: EdgekitError | None = None
        self.scheme = W8A8
        self.forms = {form.row: form for form in plan.forms}

    def run(self) -> Run:
        self.prepare()
        base = self.plan.base
        if (better := base.spec.side_near(base.resolution)) != base.resolution:
            self.console.note(
                f"{base.spec.name} has exact resizes at sides of 16 n + 1, which kernels compute "
                f"alike: --resolution {better} in place of {base.resolution}"
            )
        level, reason = known_risk(self.plan.base.spec)
        if level == "high":
            advice = "" if self.options.quantize == "auto" else "; --quantize auto repairs a loss"
            self.console.note(f"int8 risk of {self.plan.base.spec.name}: high, {reason}{advice}")
        for target in (offer.target for offer in self.offers):
            for text in target.advice(self.plan.base.spec, self.plan.base.resolution):
                self.console.note(f"{target.name}: {text}")
        self.run_stages()
        for offer in self.offers:
            self.entries.append(self._target(offer))
        if self.options.devices:
            self._on_devices()
        return self._report()

    def run_stage(self, index: int, role: str, stage: Stage) -> Outcome | None:
        """A maker's tool that fails does not end the build; what needs its file is left out."""
        if not self.plan.needs_tool(role):
            return super().run_stage(index, role, stage)
        execution = self.plan.executions.get(role)
        if execution is not None and execution.of in self.failed:
            return None
        try:
            return super().run_stage(index, role, stage)
        except EdgekitError as error:
            self.failed[role] = error
            self.console.error(error)
            return None

    def hand_out(self, role: str) -> None:
        """Hands out what a stage made as soon as it is there; an interruption keeps it."""
        super().hand_out(role)
        folder = self.outcomes[role].folder
        model = self.plan.base.spec.name
        match role:
            case "quantize":
                for text in read_json(folder / runs.RANGES)["warnings"]:
                    self.console.warn(text)
                self._quantized(folder)
            case "repair":
                for text in describe_search(read_search(self.outcomes)):
                    self.console.note(text)
                self._quantized(folder)
            case "qat":
                self._quantized(folder)
            case "w8a8":
                self.publish(self.scheme, folder / runs.MODEL, f"{model}-{self.scheme}.tflite")
            case _ if role in FINE_TO_COARSE:
                self.publish(role, folder / runs.MODEL, f"{model}-{role}.tflite")
            case _ if form := self.forms.get(role):
                for name, suffix in form.names.items():
                    own = f"{form.stem}{suffix}"
                    self.publish(name, folder / own, f"{model}-{own}")

    def _quantized(self, folder: Path) -> None:
        """Hands out the quantized network of a stage, under the name of its scheme."""
        from edgekit.networks.graph import Graph

        self.scheme = scheme_of(Graph.load(folder / outputs.GRAPH))
        earlier = self.files.get("quantized")
        name = f"{self.plan.base.spec.name}-{self.scheme}.graph"
        self.publish("quantized", folder / outputs.GRAPH, name)
        if earlier not in (None, self.files["quantized"]):
            earlier.unlink(missing_ok=True)

    def _target(self, offer: Offer) -> TargetEntry:
        """Checks and compiles for one target; what stops it does not stop the others."""
        target = offer.target
        index = len(self.plan.stages) + len(self.entries) + 1
        roles = [form.row for form in offer.forms]
        roles += [f"run {execution.row}" for execution in offer.executions]
        problems = [*offer.missing, *(self.failed[role] for role in roles if role in self.failed)]
        with self.console.stage(index, self.total, f"target {target.name}") as shown:
            try:
                entry = self._finish(offer)
                if problems:
                    entry["status"] += ", incomplete"
            except EdgekitError as error:
                problems = [error, *(one for one in problems if str(one) != str(error))]
                entry = {
                    "name": target.name,
                    "status": next((s for kind, s in STATUS if isinstance(error, kind)), "failed"),
                    "message": "",
                    "files": [self.files[self.scheme].name],
                }
            texts = [" ".join(filter(None, (e.message, e.cause, e.hint))) for e in problems]
            entry["message"] = "; ".join(filter(None, (entry["message"], *texts)))
            self.problem = self.problem or next(iter(problems), None)
            shown.detail = entry["status"]
            return entry

    def _finish(self, offer: Offer) -> TargetEntry:
        target, options = offer.target, self.options
        own = [form for form in offer.forms if form.row in self.files]
        if offer.has_own and not own:
            failed = [self.failed[form.row] for form in offer.forms if form.row in self.failed]
            raise next(iter([*offer.missing, *failed]))
        source = self.files[self.scheme if target.accepts_mixed else target.scheme]
        checked = [self.files[form.row] for form in own if form.row.startswith("w8a8")]
        examined = {path: self._examine(target, path) for path in checked or [source]}
        entry: TargetEntry = {
            "name": target.name,
            "status": "ready",
            "message": "checked against the target's rules",
            "files": [self.files[form.row].name for form in own] or [source.name],
        }
        for one in examined.values():
            if one.prediction is not None:
                entry["message"] += f"; {one.prediction}"
        if target.compiles and checked:
            source = checked[0]
        command = target.command(source, self.folder, options.compile_timeout)
        if command is None and not target.compiles:
            return entry
        if not options.compile:
            by_us = ["edgekit", "compile", source.name, "--target", target.name]
            line = shlex.join(command or by_us)
            entry["message"] += f"; not compiled, as asked; compile with `{line}`"
            return entry
        file = examined.get(source) or target.examine(source)
        compiled = target.compile(file, self.folder, options.compile_timeout)
        if compiled is not None:
            self.compiled[target.name] = compiled
            self.files[target.name] = compiled.model
            entry["status"] = "compiled"
            entry["message"] = compiled.summary if own else _mapped(compiled)
            names = [path.name for path in (*compiled.outputs, compiled.log)]
            entry["files"] = list(dict.fromkeys(names))
        return entry

    def _examine(self, target: Target, path: Path) -> Examination:
        examined = target.examine(path)
        if examined.refusals:
            raise CompileError(
                f"{path.name} does not suit the target {target.name}",
                cause="; ".join(map(str, examined.refusals[:3])),
            )
        for finding in examined.findings:
            self.console.warn(f"{target.name}: {finding}")
        return examined

    def _on_devices(self) -> None:
        """Measures the int8 file on devices; one that is gone does not stop the report."""
        from edgekit.pipeline.stages import devices as on_devices

        with self.console.stage(self.total - 1, self.total, "devices") as shown:
            self.devices, problems = on_devices.measure(
                self.options,
                self.files[self.scheme],
                runs.read_splits(self.outcomes["data"].folder),
                runs.read_preprocessing(self.outcomes["weights"].folder),
                self.console,
            )
            shown.detail = f"{len(problems)} failed" if problems else ""
        for problem in problems[1:]:
            self.console.error(problem)
        self.problem = self.problem or next(iter(problems), None)

    def _report(self) -> Run:
        from edgekit.pipeline.report_data import check_budget, collect_document, write_results

        with self.console.stage(self.total, self.total, "report"):
            document = collect_document(
                self.options, self.plan, self.outcomes, self.entries, self.folder, self.files
            )
            document["devices"] = self.devices
            splits = runs.read_splits(self.outcomes["data"].folder)
            roles = self.files | {"w8a8": self.files[self.scheme]}
            document["chips"] = make_chips(
                self.offers, self.plan, self.outcomes, self.compiled, roles, splits
            )
            self.files |= write_results(
                document, self.options, self.plan, self.outcomes, self.folder
            )
        problem = self.problem or check_budget(document, self.options.budget)
        return Run(self.folder, document, dict(self.files), problem)


def _mapped(compiled: Compiled) -> str:
    return f"{compiled.mapped} operators mapped, {compiled.on_cpu} on the CPU"


def _describe(
    plan: Plan,
    offers: Sequence[Offer],
    options: BuildOptions,
    store: StageStore,
    folder: Path,
) -> tuple[str, ...]:
    """What a build would do: a line per stage, and the commands of others that it would run."""
    total = len(plan.stages) + len(offers) + bool(options.devices) + 1
    lines = [f"{plan.base.spec.name} at {plan.base.resolution} px into {folder}"]
    for index, (role, stage) in enumerate(plan.stages.items(), 1):
        outcome = store.finished(stage) if options.resume else None
        state = f"cached  {outcome.detail}" if outcome else "to run"
        if outcome is None and options.resume and store.partial(stage).exists():
            state = "to resume"
        start = plan.base.start
        if outcome is None and role == "weights" and start.url:
            state += f"  from {start.mirror or start.url}, unless it is in the cache"
        lines.append(f"[{index}/{total}] {stage.name}  {state}")
    model = folder / f"{plan.base.spec.name}-{W8A8}.tflite"
    for index, offer in enumerate(offers, len(plan.stages) + 1):
        target = offer.target
        made = target.command(model, folder, options.compile_timeout)
        command = made if options.compile else None
        does = f"runs: {shlex.join(command)}" if command else "checks the file"
        if target.compiles and options.compile and not command:
            does = "checks the file, runs the compiler"
        does += "".join(f"; {error.message}: {error.hint}" for error in offer.missing)
        lines.append(f"[{index}/{total}] target {target.name}  {does}")
    if options.devices:
        lines.append(f"[{total - 1}/{total}] devices  {', '.join(options.devices)}")
    return (*lines, f"[{total}/{total}] report")
