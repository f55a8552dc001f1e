"""From the float network to integers: histograms of its tensors, their ranges, the 8-bit scheme."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.networks.graph import Graph
from edgekit.networks.passes import InputMethod
from edgekit.networks.schemes import W8A8
from edgekit.pipeline.post_training import WEIGHING_PHOTOS, Folders, inputs_of
from edgekit.pipeline.stage import FolderOf, Stage, hashed_as
from edgekit.pipeline.stages.train import FloatNetwork
from edgekit.runs import CALIBRATION, HISTOGRAMS, RANGES, with_input_of
from edgekit.system.console import Progress
from edgekit.system.files import read_json, write_json
from edgekit.targets.base import Target
from edgekit.tasks.registry import find_task
from edgekit.training.outputs import GRAPH

if TYPE_CHECKING:
    from edgekit.calibration.histogram import Histogram

#: How a normalization that one input scale cannot hold is absorbed: the answers are the same,
#: and this way needs no operator of its own (benchmarks/input_normalization.py).
INPUT_METHOD: InputMethod = "common-zero"


def _names(targets: Sequence[Target]) -> list[str]:
    return [target.name for target in targets]


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibrate(Stage):
    """Prepares the network for integers and the targets; collects a histogram of each tensor.

    Attributes:
        network: the float one.
        targets: those that rewrite it, and no others: its files are the same whatever those are.
        method: how the normalization of its input is absorbed.
    """

    network: FloatNetwork
    targets: Sequence[Target] = field(metadata=hashed_as(_names), default=())
    method: InputMethod = INPUT_METHOD

    title = "calibrate"
    record = 3  # of samples that are runs of neighbours

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.calibration.checks import check_photos
        from edgekit.calibration.histogram import save_histograms
        from edgekit.calibration.quantize import collect, fixed_ranges
        from edgekit.data.batches import eval_batches
        from edgekit.networks.passes import absorb_normalization, prepare

        photos = self.network.splits(of).calibration
        preprocessing = self.network.preprocessing(of)
        prepared = prepare(self.network.graph(of))
        for target in self.targets:
            prepared = target.prepare(prepared)
        graph, mean, std = absorb_normalization(
            prepared, preprocessing.mean, preprocessing.std, self.method
        )
        fixed = fixed_ranges(graph, mean, std)
        plain = 0

        def batches() -> Any:
            nonlocal plain
            done = 0
            for pixels, indices in eval_batches(photos, preprocessing, 16):
                plain += int((pixels == pixels[:, :1, :1]).all((1, 2, 3)).sum())
                yield ((pixels - np.float32(mean)) / np.float32(std)).astype(np.float32)
                done += len(indices)
                progress("calibrate", done, len(photos))

        histograms = collect(graph, batches(), skip=fixed)
        graph.save(folder / GRAPH)
        save_histograms(histograms, folder / HISTOGRAMS)
        record = {
            "photos": list(photos.names),
            "sha256": photos.digest(),
            "input_mean": mean,
            "input_std": std,
            "input_method": self.method,
            "warnings": check_photos(len(photos), plain),
        }
        write_json(folder / CALIBRATION, record)
        return f"{len(photos)} photos, {len(histograms)} tensors"


class QuantizedNetwork(Stage):
    """A stage that leaves a quantized network."""

    @property
    @abstractmethod
    def calibrated(self) -> Calibrate:
        """What it was quantized by."""

    @property
    def original(self) -> FloatNetwork:
        """The float network."""
        return self.calibrated.network

    def folders(self, of: FolderOf) -> Folders:
        """Those of the network and of everything that it was made from."""
        trained = self.original.trained
        return Folders(*map(of, (trained.data, trained.weights, trained, self.calibrated, self)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantize(QuantizedNetwork):
    """Chooses ranges and writes the 8-bit scheme onto the network.

    Attributes:
        calibration: with the histograms.
        method: of activation ranges.
        named: other methods for single tensors, ``TENSOR=METHOD``.
    """

    calibration: Calibrate
    method: str
    named: tuple[str, ...] = ()

    title = f"quantize {W8A8}"
    record = 3  # those before were too narrow for XNNPACK where a branch does nothing

    @property
    def calibrated(self) -> Calibrate:
        """What it was quantized by."""
        return self.calibration

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.calibration import quantize as ptq
        from edgekit.calibration.checks import check_tensors
        from edgekit.calibration.histogram import load_histograms
        from edgekit.calibration.ranges import IMPORTANCE, Choice

        calibration = of(self.calibration)
        record = read_json(calibration / CALIBRATION)
        graph = Graph.load(calibration / GRAPH)
        histograms = load_histograms(calibration / HISTOGRAMS)
        own = dict(text.split("=", 1) for text in self.named)
        if IMPORTANCE in {self.method, *own.values()}:
            histograms = self._weigh(graph, histograms, progress, of)
        task = find_task(self.original.preprocessing(of).task)
        ranked = {*task.ranked} - own.keys()
        choices = ptq.choose_all(histograms, self.method, ranked, own)
        warnings = record["warnings"] + check_tensors(graph, histograms, choices)
        for name, (low, high) in ptq.fixed_ranges(
            graph, record["input_mean"], record["input_std"]
        ).items():
            choices[name] = Choice(low, high, "fixed", "prescribed by the scheme")
        chosen = {name: (choice.low, choice.high) for name, choice in choices.items()}
        ranges = ptq.wide_enough(graph, chosen)
        for name, (low, high) in ranges.items():
            if chosen[name] != (low, high):
                why = "the sum of which it is a term needs no finer steps"
                choices[name] = Choice(low, high, choices[name].method, why)
        ptq.quantize(graph, ranges).save(folder / GRAPH)
        tensors = {name: asdict(choice) for name, choice in choices.items()}
        write_json(folder / RANGES, {"warnings": warnings, "tensors": tensors})
        return f"{self.method} ranges, {len(ranges)} tensors"

    def _weigh(
        self, graph: Graph, histograms: dict[str, Histogram], progress: Progress, of: FolderOf
    ) -> dict[str, Histogram]:
        """The histograms with the importance of their values."""
        from edgekit.calibration.importance import batch_for, weigh

        preprocessing = with_input_of(of(self.calibration), self.original.preprocessing(of))
        photos = self.original.splits(of).calibration
        total = min(WEIGHING_PHOTOS, len(photos))

        def batches() -> Iterator[NDArray[np.float32]]:
            done = 0
            for inputs in inputs_of(photos, preprocessing, WEIGHING_PHOTOS, batch_for(graph)):
                yield inputs
                done += len(inputs)
                progress("weigh", done, total)

        return weigh(graph, histograms, batches(), task=preprocessing.task)


@dataclass(frozen=True, eq=False, kw_only=True)
class Requantized(QuantizedNetwork):
    """A stage that makes another quantized network of the one before.

    Attributes:
        quantized: that one.
    """

    quantized: QuantizedNetwork

    @property
    def calibrated(self) -> Calibrate:
        """What it was quantized by."""
        return self.quantized.calibrated
