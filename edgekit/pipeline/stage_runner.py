"""Runs the stages of a plan in order, and hands out what they make as soon as it is there."""

from __future__ import annotations

from pathlib import Path

from edgekit import runs
from edgekit.options.build import BuildOptions
from edgekit.pipeline.engine import occupy
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.stage import Outcome, Stage, StageStore
from edgekit.system.console import Console
from edgekit.system.files import read_json, write_bytes
from edgekit.training import outputs

#: Warnings on single photos that are shown; the report has their number.
SHOWN = 5


class StageRun:
    """The state of a run: of a training, or of a whole build.

    Args:
        options: what was asked for.
        plan: the stages.
        store: where they lie.
        folder: of the run, for the files that the user takes away.
        console: told how it goes.
        more: steps beside the stages, for the count.
    """

    def __init__(
        self,
        options: BuildOptions,
        plan: Plan,
        store: StageStore,
        folder: Path,
        console: Console,
        more: int = 1,
    ) -> None:
        self.options, self.plan, self.store = options, plan, store
        self.folder, self.console = folder, console
        self.outcomes: dict[str, Outcome] = {}
        self.files: dict[str, Path] = {}
        self.total = len(plan.stages) + more

    def prepare(self) -> None:
        """Gives torch its threads and its memory, and says what is built from."""
        occupy(self.plan.base.threads)
        if self.options.data is None:
            self.console.note(
                "no --data given: using the built-in dataset of rendered shapes, "
                f"{self.plan.base.resolution} px"
            )

    def run_stages(self) -> None:
        """Runs those that are not finished yet."""
        for index, (role, stage) in enumerate(self.plan.stages.items(), 1):
            outcome = self.run_stage(index, role, stage)
            if outcome is not None:
                self.outcomes[role] = outcome
                self.hand_out(role)

    def run_stage(self, index: int, role: str, stage: Stage) -> Outcome | None:
        """Runs one of them, unless it is finished; None where the run goes on without it."""
        with self.console.stage(index, self.total, stage.name) as shown:
            outcome = self.store.finished(stage) if self.options.resume else None
            if outcome is None:
                fresh = not self.options.resume
                outcome = self.store.run(stage, self.console.progress, fresh=fresh)
            shown.cached, shown.detail = outcome.cached, outcome.detail
            return outcome

    def hand_out(self, role: str) -> None:
        """Hands out what a stage made as soon as it is there; an interruption keeps it."""
        folder = self.outcomes[role].folder
        model = self.plan.base.spec.name
        match role:
            case "data":
                splits = runs.read_splits(folder)
                for text in splits.warnings:
                    self.console.warn(text)
                for name, reason in splits.unreadable[:SHOWN]:
                    self.console.warn(f"skipped {name}: {reason}")
                if len(splits.unreadable) > SHOWN:
                    self.console.warn(f"skipped {len(splits.unreadable) - SHOWN} more photos")
                write_bytes(self.folder / "labels.txt", "\n".join(splits.labels).encode() + b"\n")
                self.files["labels"] = self.folder / "labels.txt"
            case "weights":
                origin = read_json(folder / runs.ORIGIN)
                for text in origin["notes"] if origin else []:
                    self.console.note(text)
                for text in origin.get("assumptions", []) if origin else []:
                    self.console.note(f"assumed: {text}")
                self.publish("graph", folder / outputs.GRAPH, f"{model}.graph")
            case "train":
                self.publish("graph", folder / outputs.GRAPH, f"{model}.graph")
                self.publish("history", folder / outputs.TABLE, f"{model}-history.csv")

    def publish(self, name: str, source: Path, as_name: str) -> None:
        """Copies a stage's file to where the user looks for it."""
        self.files[name] = self.folder / as_name
        write_bytes(self.files[name], source.read_bytes())
