"""What is done to a quantized network after its ranges: each repair takes the best so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.data.selection import evenly
from edgekit.networks.graph import Graph
from edgekit.runs import (
    CALIBRATION,
    FLOAT,
    HISTOGRAMS,
    read_preprocessing,
    read_splits,
    read_task,
    to_convert,
    with_input_of,
)
from edgekit.system.console import Progress
from edgekit.system.files import read_json
from edgekit.tasks.registry import find_task
from edgekit.training.outputs import GRAPH

if TYPE_CHECKING:
    from edgekit.calibration.histogram import Histogram
    from edgekit.calibration.ranges import Range
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.preprocessing import Preprocessing

#: Photos whose gradients weigh the ranges, and how many where time matters less. Of 16, 32 and 64,
#: EfficientNetV2-B0's divergence from fp32 is 0.0100, 0.0082 and 0.0070, means of 2 to 4 seeds.
WEIGHING_PHOTOS, MANY_WEIGHING_PHOTOS = 32, 256
#: Photos that blocks learn from, and steps of each block.
RECONSTRUCTION_PHOTOS, RECONSTRUCTION_STEPS = 256, 100
#: Photos whose gradients say which tensors cost most.
RANKING_PHOTOS = 64


@dataclass(frozen=True)
class Folders:
    """The finished stages that a repair reads."""

    data: Path
    weights: Path
    model: Path
    calibration: Path
    quantized: Path


@dataclass(frozen=True)
class Candidate:
    """A quantized network, and the float network that it stands for.

    Attributes:
        graph: float, prepared; equalization changes its weights but not what it computes.
        quantized: the same with `QuantParams`.
    """

    graph: Graph
    quantized: Graph

    def save(self, folder: Path) -> None:
        """Writes both networks into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.graph.save(folder / "float.graph")
        self.quantized.save(folder / "quantized.graph")

    @classmethod
    def load(cls, folder: Path) -> Candidate:
        """Reads what `save` wrote."""
        return cls(Graph.load(folder / "float.graph"), Graph.load(folder / "quantized.graph"))


def inputs_of(
    photos: PhotoSet, preprocessing: Preprocessing, count: int, size: int
) -> Iterator[NDArray[np.float32]]:
    """Batches of at most so many photos, evenly spread, as network inputs, float32 NHWC."""
    from edgekit.data.batches import eval_batches

    some = photos.subset(evenly(len(photos), count))
    for pixels, _ in eval_batches(some, preprocessing, size):
        yield preprocessing.normalize(pixels)


class Algorithms:
    """The repairs. All fitting is on the calibration photos; no validation photo is seen.

    Args:
        folders: of the stages before.
        device: torch device, or ``auto``.
        seed: of everything random.
        thorough: whether layers are compared on more photos, where minutes do not matter.
        progress: told how far a repair is.
    """

    def __init__(
        self,
        folders: Folders,
        device: str,
        seed: int,
        progress: Progress,
        thorough: bool = False,
    ) -> None:
        from edgekit.networks.torch_device import pick_device

        self.folders = folders
        self.device, self.seed, self.progress = str(pick_device(device)), seed, progress
        self.thorough = thorough
        #: Every later network of a search that is int8 in part starts from the same one.
        self.costliest: list[str] = []
        self.photos = read_splits(folders.data).calibration
        self.preprocessing = with_input_of(folders.calibration, read_preprocessing(folders.weights))
        self.record = read_json(folders.calibration / CALIBRATION)

    def inputs(self, count: int) -> NDArray[np.float32]:
        """At most so many calibration photos as network inputs, float32 NHWC."""
        return np.concatenate(list(self.batches(count)))

    def batches(self, count: int, size: int = 8) -> Iterator[NDArray[np.float32]]:
        """Batches of at most so many calibration photos as network inputs, float32 NHWC."""
        return inputs_of(self.photos, self.preprocessing, count, size)

    def start(self) -> Candidate:
        """The network as the stage before left it, with the float one that it stands for."""
        equalized = self.folders.quantized / FLOAT
        prepared = equalized if equalized.exists() else self.folders.calibration / GRAPH
        return Candidate(Graph.load(prepared), Graph.load(self.folders.quantized / GRAPH))

    def correct_biases_from(self, source: str, best: Candidate, head: str) -> Candidate:
        """Takes the mean error out of every layer, as photos or as statistics tell it."""
        if source == "statistics":
            return self.correct_biases_by_statistics(best, head)
        return self.correct_biases(best)

    def correct_biases(self, best: Candidate) -> Candidate:
        """Takes the mean error out of every layer."""
        from edgekit.calibration.bias import correct_biases

        corrected = correct_biases(
            best.graph,
            best.quantized,
            self._compared(best.graph),
            device=self.device,
            advance=lambda done, total: self.progress("correct biases", done, total),
        )
        return Candidate(best.graph, corrected)

    def correct_biases_by_statistics(self, best: Candidate, head: str) -> Candidate:
        """Takes out what batch normalizations tell of the mean errors; no photo is read."""
        from edgekit.calibration.statistics import correct_biases

        task = read_task(self.folders.weights)
        trained = to_convert(self.folders.model, head, task)
        # The normalization of the weights centres photos on 0.
        mean = np.array(read_preprocessing(self.folders.weights).mean)
        of_input = (mean - self.record["input_mean"]) / self.record["input_std"]
        return Candidate(best.graph, correct_biases(trained, best.quantized, of_input))

    def weigh_ranges(self, best: Candidate) -> Candidate:
        """Chooses ranges by the importance of values on more photos, and corrects biases."""
        from edgekit.calibration.histogram import load_histograms

        histograms = load_histograms(self.folders.calibration / HISTOGRAMS)
        return self._weighed(best.graph, histograms)

    def equalize(self, best: Candidate) -> Candidate:
        """Equalizes channels where activations allow it; then as `weigh_ranges`."""
        from edgekit.calibration.equalize import channel_extremes, equalize, groups

        count = len(self.photos)
        tensors = [name for group in groups(best.graph) for name in group.tensors]
        extremes = channel_extremes(
            best.graph, self.batches(count, 16), tensors, device=self.device
        )
        graph = equalize(best.graph, extremes)
        return self._weighed(graph, self._collect(graph))

    def reconstruct_blocks(self, best: Candidate) -> Candidate:
        """Learns kernels, biases and ranges, block by block; kernels round anew."""
        from edgekit.calibration.layerwise import photos_for
        from edgekit.calibration.reconstruction import Reconstruction, reconstruct_blocks

        learned = reconstruct_blocks(
            best.graph,
            best.quantized,
            self.inputs(photos_for(best.graph, RECONSTRUCTION_PHOTOS)),
            Reconstruction(steps=RECONSTRUCTION_STEPS),
            task=self.preprocessing.task,
            seed=self.seed,
            device=self.device,
            advance=lambda done, total: self.progress("reconstruct blocks", done, total),
        )
        return Candidate(best.graph, learned)

    def keep_float(self, best: Candidate, count: int) -> Candidate:
        """Keeps the costliest activations, and the layers round them, in float."""
        from edgekit.calibration.mixed import keep_float

        self.costliest = self.costliest or self._rank(best.quantized)
        mixed = keep_float(best.quantized, self.costliest[:count], best.graph)
        return self.correct_biases(Candidate(best.graph, mixed))

    def with_int16_activations(self, best: Candidate) -> Candidate:
        """Makes the network of w8a16-static."""
        from edgekit.calibration.activations import int16_ranges, with_int16_activations

        seen = int16_ranges(self._histograms(best.graph))
        ranges = seen | self._fixed(best.graph, "int16")
        return Candidate(best.graph, with_int16_activations(best.graph, best.quantized, ranges))

    def with_float_activations(self, best: Candidate) -> Candidate:
        """Makes the network of w8-dynamic."""
        from edgekit.calibration.activations import with_float_activations

        return Candidate(best.graph, with_float_activations(best.graph, best.quantized))

    def rounded_at_kernels(self, best: Candidate) -> Candidate:
        """Makes the network that is rounded where int8 kernels read, and float in between."""
        from edgekit.calibration.activations import rounded_at_kernels

        return Candidate(best.graph, rounded_at_kernels(best.graph, best.quantized))

    def _histograms(self, graph: Graph) -> dict[str, Histogram]:
        """Those of the calibration stage, or others where the network was equalized since."""
        from edgekit.calibration.histogram import load_histograms

        calibrated = Graph.load(self.folders.calibration / GRAPH).weights
        same = [np.array_equal(array, calibrated[name]) for name, array in graph.weights.items()]
        if all(same):
            return load_histograms(self.folders.calibration / HISTOGRAMS)
        return self._collect(graph)

    def _collect(self, graph: Graph) -> dict[str, Histogram]:
        from edgekit.calibration.quantize import collect

        batches = self.batches(len(self.photos), 16)
        return collect(graph, batches, skip=self._fixed(graph), device=self.device)

    def _rank(self, quantized: Graph) -> list[str]:
        """Activations, the one whose rounding costs most first."""
        from edgekit.calibration.sensitivity import measure

        batches = list(self.batches(RANKING_PHOTOS))
        costs = measure(
            quantized,
            batches,
            task=self.preprocessing.task,
            exact=0,
            seed=self.seed,
            advance=lambda done, total: self.progress("find the costliest", done, total),
        )
        return [cost.name for cost in costs if cost.kind == "activation"]

    def _compared(self, graph: Graph) -> NDArray[np.float32]:
        """The photos on which layers are compared."""
        from edgekit.calibration.layerwise import MANY_PHOTOS, PHOTOS, photos_for

        return self.inputs(photos_for(graph, MANY_PHOTOS if self.thorough else PHOTOS))

    def _weighed(self, graph: Graph, histograms: dict[str, Histogram]) -> Candidate:
        from edgekit.calibration import quantize as ptq
        from edgekit.calibration.importance import batch_for, weigh
        from edgekit.calibration.ranges import IMPORTANCE

        batches = self.batches(MANY_WEIGHING_PHOTOS, batch_for(graph))
        task = self.preprocessing.task
        weighed = weigh(graph, histograms, batches, task=task, seed=self.seed, device=self.device)
        ranked = find_task(task).ranked
        ranges = ptq.choose_ranges(weighed, IMPORTANCE, ranked) | self._fixed(graph)
        return self.correct_biases(Candidate(graph, ptq.quantize(graph, ranges)))

    def _fixed(self, graph: Graph, dtype: str = "int8") -> dict[str, Range]:
        from edgekit.calibration.quantize import fixed_ranges

        mean, std = self.record["input_mean"], self.record["input_std"]
        return fixed_ranges(graph, mean, std, dtype)
