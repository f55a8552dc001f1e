"""The training stage, and the network that it leaves to all others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Splits, photos_from_dict
from edgekit.networks.graph import Graph
from edgekit.options.training import EngineOptions
from edgekit.pipeline.engine import deciding, make_engine
from edgekit.pipeline.stage import UNHASHED, FolderOf, Stage, hashed_as
from edgekit.pipeline.stages.data import Data
from edgekit.pipeline.stages.weights import Weights
from edgekit.runs import EARLIER, UNLABELLED, read_preprocessing, read_splits, read_task, to_convert
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task
from edgekit.training.outputs import GRAPH, TABLE, keep
from edgekit.training.recipe import Recipe, StudentRecipe

if TYPE_CHECKING:
    from edgekit.training.world import World


@dataclass(frozen=True, eq=False, kw_only=True)
class Train(Stage):
    """Trains the network, or goes on where an interrupted attempt stopped.

    Attributes:
        weights: that it starts from.
        recipe: of the training.
        teacher: the recipe of the one that labels photos for the network.
        engine: what it computes on and how.
        world: the processes that train together.
        warn: told what training has to say.
    """

    weights: Weights
    recipe: Recipe
    teacher: Recipe | None = None
    engine: EngineOptions = field(metadata=hashed_as(deciding))
    world: World | None = field(default=None, metadata=UNHASHED)
    warn: Callable[[str], None] | None = field(default=None, metadata=UNHASHED)

    title = "train"
    tools = ("torch",)

    @property
    def data(self) -> Data:
        """The photos."""
        return self.weights.data

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.training.distributed import lead
        from edgekit.training.job import TrainingJob
        from edgekit.training.noisy_student import Lessons, teach

        data, weights, recipe = of(self.data), of(self.weights), self.recipe
        engine = make_engine(self.engine, self.world)
        splits = read_splits(data)
        job = TrainingJob(
            Graph.load(weights / GRAPH),
            splits.train,
            splits.val,
            read_preprocessing(weights),
            recipe,
        )
        if isinstance(recipe, StudentRecipe) and self.teacher:
            unlabelled = photos_from_dict(read_json(data / UNLABELLED))
            lessons = Lessons(job, self.teacher, unlabelled)
            graph, history, earlier = teach(lessons, folder, engine, progress, self.warn)
            write_json(folder / EARLIER, earlier)
            shutil.copy(folder / f"student-{recipe.iterations}" / TABLE, folder / TABLE)
        else:
            advance = partial(progress, "train")
            graph, history = lead(job, folder, engine, advance=advance, warn=self.warn)
        metric = find_task(job.preprocessing.task).metric
        keep(folder, graph, history, metric)
        return f"val {metric.name} {history[-1].val_score:.3f}"


@dataclass(frozen=True)
class FloatNetwork:
    """The network that is converted.

    Attributes:
        trained: the last stage that changed it.
        head: ``classifier``, or ``none`` for a network that ends before it.
    """

    trained: Weights | Train
    head: str

    @property
    def original(self) -> FloatNetwork:
        """The network itself, as that of a quantized one is what it was made from."""
        return self

    def graph(self, of: FolderOf) -> Graph:
        """The network."""
        return to_convert(of(self.trained), self.head, self.task(of))

    def task(self, of: FolderOf) -> Task:
        """What it is for."""
        return read_task(of(self.trained.weights))

    def splits(self, of: FolderOf) -> Splits:
        """The photos of the run."""
        return read_splits(of(self.trained.data))

    def preprocessing(self, of: FolderOf) -> Preprocessing:
        """The record of its input."""
        return read_preprocessing(of(self.trained.weights))
