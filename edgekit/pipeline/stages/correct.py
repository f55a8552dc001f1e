"""The stages between ranges and files: corrected biases, training in 8 bits, other schemes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.networks.graph import Graph
from edgekit.networks.schemes import W8_DYNAMIC, W8A16
from edgekit.pipeline.post_training import Candidate, Folders, Workshop
from edgekit.runs import read_preprocessing, read_splits, with_input_of
from edgekit.system.console import Progress
from edgekit.training.outputs import GRAPH, keep
from edgekit.training.recipe import QatRecipe

if TYPE_CHECKING:
    from edgekit.training.engine import Engine

#: The schemes that are made from the int8 network.
FROM_INT8: dict[str, Callable[[Workshop, Candidate], Candidate]] = {
    W8A16: Workshop.with_int16_activations,
    W8_DYNAMIC: Workshop.with_float_activations,
}


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
    else:
        best = workshop.correct_biases_from(source, best, head)
    best.quantized.save(folder / GRAPH)
    mixed = f", {keep_float} tensors in float" if keep_float else ""
    return f"{len(best.quantized.nodes)} layers{mixed}"


def make_scheme(
    folder: Path,
    progress: Progress,
    *,
    folders: Folders,
    scheme: str,
    head: str,
    source: str | None,
    thorough: bool,
    device: str,
) -> str:
    """Makes the network of another scheme from the int8 one, and corrects its biases.

    Args:
        folder: of the stage.
        progress: told how far it is.
        folders: of the stages before; the int8 network is as it was before training in 8 bits.
        scheme: of `FROM_INT8`.
        head: of the files; see `edgekit.options.build`.
        source: what tells the mean errors that biases take out; None leaves them as they are.
        thorough: as of `Workshop`.
        device: torch device, or ``auto``.
    """
    workshop = Workshop(folders, folder, device, 0, progress, thorough=thorough)
    made = FROM_INT8[scheme](workshop, workshop.start())
    if source:
        made = workshop.correct_biases_from(source, made, head)
    made.quantized.save(folder / GRAPH)
    kernels = sum(name.endswith("/kernel") for name in made.quantized.quant)
    return f"{kernels} int8 kernels{', corrected biases' if source else ''}"


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
