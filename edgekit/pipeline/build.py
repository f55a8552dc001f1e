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
from edgekit.errors import CompileError, EdgekitError, MissingToolError, UsageError
from edgekit.networks.efficientnet.catalog import known_risk
from edgekit.networks.schemes import FINE_TO_COARSE, W8A8, scheme_of
from edgekit.options.build import BuildOptions
from edgekit.pipeline.auto_quantize import describe_search, read_search
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.pipeline.run_folder import RUNS, choose_folder, opened, translated
from edgekit.pipeline.stage import StageStore
from edgekit.pipeline.stage_runner import StageRun
from edgekit.runs import STAGES
from edgekit.system.console import Console, NullConsole
from edgekit.system.files import read_json
from edgekit.targets import registry
from edgekit.targets.base import Examination, Target
from edgekit.training import outputs

if TYPE_CHECKING:
    from edgekit.networks.graph import Graph
    from edgekit.report.document import Device, Document, Row
    from edgekit.report.document import Target as TargetEntry


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
    targets = [registry.find(name) for name in options.targets]
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
        forms = [form for target in targets for form in target.forms(options)]
        plan = make_plan(options, targets=targets, forms=forms, warn=console.warn)
    if options.dry_run:
        return Run(folder, None, planned=_describe(plan, targets, options, store, folder))
    with opened(folder, options):
        return _Build(options, plan, targets, store, folder, console).run()


class _Build(StageRun):
    """The state of one build while it runs."""

    def __init__(
        self,
        options: BuildOptions,
        plan: Plan,
        targets: Sequence[Target],
        store: StageStore,
        folder: Path,
        console: Console,
    ) -> None:
        # The targets, the devices together, and the report.
        more = len(targets) + bool(options.devices) + 1
        super().__init__(options, plan, store, folder, console, more)
        self.targets = targets
        self.entries: list[TargetEntry] = []
        self.devices: list[Device] = []
        self.problem: EdgekitError | None = None
        self.scheme = W8A8
        self.forms = {form.row: form for form in plan.forms}

    def run(self) -> Run:
        self.prepare()
        level, reason = known_risk(self.plan.base.spec)
        if level == "high":
            advice = "" if self.options.quantize == "auto" else "; --quantize auto repairs a loss"
            self.console.note(f"int8 risk of {self.plan.base.spec.name}: high, {reason}{advice}")
        for target in self.targets:
            for text in target.advice(self.plan.base.spec, self.plan.base.resolution):
                self.console.note(f"{target.name}: {text}")
        self.run_stages()
        for target in self.targets:
            self.entries.append(self._target(target))
        if self.options.devices:
            self._on_devices()
        return self._report()

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

    def _target(self, target: Target) -> TargetEntry:
        """Checks and compiles for one target; what stops it does not stop the others."""
        index = len(self.outcomes) + len(self.entries) + 1
        with self.console.stage(index, self.total, f"target {target.name}") as shown:
            try:
                entry = self._finish(target)
            except (MissingToolError, CompileError) as error:
                self.problem = self.problem or error
                status = "not compiled" if isinstance(error, MissingToolError) else "rejected"
                entry = {
                    "name": target.name,
                    "status": status,
                    "message": " ".join(filter(None, (error.message, error.cause, error.hint))),
                    "files": [self.files[self.scheme].name],
                }
            shown.detail = entry["status"]
            return entry

    def _finish(self, target: Target) -> TargetEntry:
        scheme = self.scheme if target.accepts_mixed else target.scheme
        forms = target.forms(self.options)
        source = self.files[scheme]
        checked = [self.files[form.row] for form in forms if form.row.startswith("w8a8")]
        examined = {path: self._examine(target, path) for path in checked or [source]}
        entry: TargetEntry = {
            "name": target.name,
            "status": "ready",
            "message": "checked against the target's rules",
            "files": [self.files[form.row].name for form in forms] or [source.name],
        }
        for one in examined.values():
            if one.prediction is not None:
                entry["message"] += f"; {one.prediction}"
        command = target.command(source, self.folder, self.options.compile_timeout)
        if command is None:
            return entry
        if not self.options.compile:
            entry["message"] += f"; not compiled, as asked; compile with `{shlex.join(command)}`"
            return entry
        file = examined.get(source) or target.examine(source)
        compiled = target.compile(file, self.folder, self.options.compile_timeout)
        if compiled is not None:
            self.files[target.name] = compiled.model
            entry["status"] = "compiled"
            entry["message"] = f"{compiled.mapped} operators mapped, {compiled.on_cpu} on the CPU"
            entry["files"] = [compiled.model.name, compiled.log.name]
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
            self.files |= write_results(
                document, self.options, self.plan, self.outcomes, self.folder
            )
        problem = self.problem or check_budget(document, self.options.budget)
        return Run(self.folder, document, dict(self.files), problem)


def _describe(
    plan: Plan,
    targets: Sequence[Target],
    options: BuildOptions,
    store: StageStore,
    folder: Path,
) -> tuple[str, ...]:
    """What a build would do: a line per stage, and the commands of others that it would run."""
    total = len(plan.stages) + len(targets) + bool(options.devices) + 1
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
    for index, target in enumerate(targets, len(plan.stages) + 1):
        made = target.command(model, folder, options.compile_timeout)
        command = made if options.compile else None
        does = f"runs: {shlex.join(command)}" if command else "checks the file"
        lines.append(f"[{index}/{total}] target {target.name}  {does}")
    if options.devices:
        lines.append(f"[{total - 1}/{total}] devices  {', '.join(options.devices)}")
    return (*lines, f"[{total}/{total}] report")
