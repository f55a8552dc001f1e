"""Training alone: photos to a trained network, in one process or in all that torchrun starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import UsageError
from edgekit.options.build import BuildOptions
from edgekit.pipeline.engine import make_engine, occupy, share_of_cores
from edgekit.pipeline.plan import make_training_plan
from edgekit.pipeline.run_folder import RUNS, choose_folder, opened, translated
from edgekit.pipeline.stage import StageStore
from edgekit.pipeline.stage_runner import StageRun
from edgekit.runs import STAGES
from edgekit.system.console import Console, NullConsole

if TYPE_CHECKING:
    from edgekit.networks.graph import Graph
    from edgekit.report.document import Document
    from edgekit.training.world import World


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
        folder: what ``--out`` named.
        document: what ``report.json`` holds.
        files: what it made, by name: ``graph``, ``history``, ``labels``, ``report.json``,
            ``report.html``, ``manifest.json``.
    """

    folder: Path
    document: Document
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The task's metric on the validation photos, a fraction."""
        from edgekit.report.document import task_of

        return task_of(self.document).metric.value(self.document["rows"][0])

    @property
    def graph(self) -> Graph:
        """The trained network."""
        from edgekit.networks.graph import Graph

        return Graph.load(self.files["graph"])


def train(model: str, *, console: Console | None = None, **options: Any) -> Training:
    """Trains a model and measures it on the validation photos, as ``edgekit train`` does.

    Args:
        model: the variant, for example ``lite0``.
        console: where progress goes; nowhere by default.
        **options: the fields of `edgekit.options.build.BuildOptions` that training reads.

    Raises:
        EdgekitError: what `edgekit.errors` lists; finished stages and checkpoints are kept.
    """
    training = run_training(BuildOptions.make(model, **options), console or NullConsole())
    if training is None:
        raise UsageError("this process of several only helps: it has no result")
    return training


def run_training(options: BuildOptions, console: Console) -> Training | None:
    """Trains what the options ask for; None in all processes of a run but the first."""
    from edgekit.networks.torch_device import pick_device
    from edgekit.training.distributed import dismiss, follow
    from edgekit.training.world import joined

    with joined(pick_device(options.torch_device)) as world:
        if world.leads:
            training = _lead(options, console, world)
            dismiss(world)
            return training
        engine = make_engine(options, world)
        occupy(options.threads or share_of_cores(world))
        follow(engine, console.warn)
        return None


def _lead(options: BuildOptions, console: Console, world: World) -> Training:
    from edgekit.pipeline.report_data import describe_run, make_rows, write_results
    from edgekit.runs import read_splits

    with translated(options.out or RUNS):
        folder = choose_folder(options)
        store = StageStore(folder / STAGES)
        plan = make_training_plan(options, world=world, warn=console.warn)
    if not plan.base.recipe.epochs:
        raise UsageError("0 epochs train nothing", hint="--epochs 1 or more")
    with opened(folder, options):
        run = StageRun(options, plan, store, folder, console)
        run.prepare()
        run.run_stages()
        with console.stage(run.total, run.total, "report"):
            splits = read_splits(run.outcomes["data"].folder)
            rows = make_rows(run.outcomes, splits, run.files, ())
            document = describe_run(
                options, plan, run.outcomes, rows, folder, run.files, command="train"
            )
            run.files |= write_results(document, options, plan, run.outcomes, folder)
    return Training(folder, document, dict(run.files))
