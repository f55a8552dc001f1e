"""The stages between ranges and file: corrected biases, and quantization-aware training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.console import Progress
from edgekit.graph import Graph
from edgekit.pipeline.steps import (
    GRAPH,
    read_preprocessing,
    read_splits,
    with_input_of,
)
from edgekit.pipeline.workshop import Folders, Workshop
from edgekit.training.finished import keep
from edgekit.training.recipe import QatRecipe

if TYPE_CHECKING:
    from edgekit.training.engine import Engine


def correct(
    folder: Path,
    progress: Progress,
    *,
    folders: Folders,
    head: str,
    keep_float: int,
    source: str,
    device: str,
) -> str:
    """Corrects the biases of the quantized network; keeps its costliest tensors in float."""
    workshop = Workshop(folders, folder, device, 0, progress)
    best = workshop.start()
    if keep_float:
        best = workshop.keep_float(best, keep_float)
    elif source == "statistics":
        best = workshop.correct_biases_by_statistics(best, head)
    else:
        best = workshop.correct_biases(best)
    best.quantized.save(folder / GRAPH)
    mixed = f", {keep_float} tensors in float" if keep_float else ""
    return f"{len(best.quantized.nodes)} layers{mixed}"


def train_quantized(
    folder: Path,
    progress: Progress,
    *,
    folders: Folders,
    recipe: QatRecipe,
    on_calibration: bool,
    engine: Callable[[], Engine],
) -> str:
    """Trains the quantized network, or goes on where an interrupted attempt stopped."""
    from edgekit.calibration.qat import QuantizedTrainer

    splits = read_splits(folders.data)
    trainer = QuantizedTrainer(
        Graph.load(folders.calibration / GRAPH),
        Graph.load(folders.quantized / GRAPH),
        splits.calibration if on_calibration else splits.train,
        splits.val,
        with_input_of(folders.calibration, read_preprocessing(folders.weights)),
        recipe,
        folder,
        engine=engine(),
        advance=partial(progress, "train int8"),
    )
    graph, history = trainer.run()
    keep(folder, graph, history)
    return f"val top-1 {history[-1].val_top1:.3f}"
