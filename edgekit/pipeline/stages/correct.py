"""The stages that repair the int8 network: corrected biases, training in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.networks.graph import Graph
from edgekit.options.training import EngineOptions
from edgekit.pipeline.engine import deciding, make_engine
from edgekit.pipeline.post_training import Algorithms
from edgekit.pipeline.stage import UNHASHED, FolderOf, hashed_as
from edgekit.pipeline.stages.quantize import Requantized
from edgekit.runs import with_input_of
from edgekit.system.console import Progress
from edgekit.training.outputs import GRAPH, keep

if TYPE_CHECKING:
    from edgekit.training.recipe import QatRecipe


@dataclass(frozen=True, eq=False, kw_only=True)
class CorrectBiases(Requantized):
    """Corrects the biases of the quantized network; keeps its costliest tensors in float.

    Attributes:
        keep_float: how many tensors.
        source: what tells the mean errors that biases take out: ``photos`` or ``statistics``.
        device: torch device, or ``auto``.
    """

    keep_float: int
    source: str
    device: str = field(metadata=UNHASHED)

    title = "correct biases"
    record = 2  # of photos of all classes, not of the first ones

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        algorithms = Algorithms(self.quantized.folders(of), self.device, 0, progress)
        best = algorithms.start()
        if self.keep_float:
            best = algorithms.keep_float(best, self.keep_float)
        else:
            best = algorithms.correct_biases_from(self.source, best, self.original.head)
        best.quantized.save(folder / GRAPH)
        mixed = f", {self.keep_float} tensors in float" if self.keep_float else ""
        return f"{len(best.quantized.nodes)} layers{mixed}"


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainQuantized(Requantized):
    """Trains the quantized network, or goes on where an interrupted attempt stopped.

    Attributes:
        recipe: of the training.
        on_calibration: whether it sees the calibration photos instead of the training photos.
        engine: what it computes on and how.
    """

    recipe: QatRecipe
    on_calibration: bool
    engine: EngineOptions = field(metadata=hashed_as(deciding))

    title = "train w8a8-static"
    tools = ("torch",)

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.calibration.qat import QuantizedTrainer
        from edgekit.training.job import TrainingJob

        splits = self.original.splits(of)
        trainer = QuantizedTrainer(
            Graph.load(of(self.calibrated) / GRAPH),
            TrainingJob(
                Graph.load(of(self.quantized) / GRAPH),
                splits.calibration if self.on_calibration else splits.train,
                splits.val,
                with_input_of(of(self.calibrated), self.original.preprocessing(of)),
                self.recipe,
            ),
            folder,
            engine=make_engine(self.engine),
            advance=partial(progress, "train int8"),
        )
        graph, history = trainer.run()
        keep(folder, graph, history, trainer.task.metric)
        return f"val {trainer.task.metric.name} {history[-1].val_score:.3f}"
