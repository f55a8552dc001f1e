"""The stages that measure: every form of the model on the validation photos, and its latency."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.selection import evenly
from edgekit.networks.graph import Graph
from edgekit.pipeline.stage import UNHASHED, FolderOf, Stage
from edgekit.pipeline.stages.convert import ModelFile
from edgekit.pipeline.stages.quantize import QuantizedNetwork
from edgekit.pipeline.stages.train import Train
from edgekit.pipeline.stages.weights import Weights
from edgekit.runs import LATENCY, LOGITS, read_preprocessing, read_splits, with_input_of
from edgekit.runtimes.predict import predict_file
from edgekit.system.console import Progress
from edgekit.system.files import write_json
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task
from edgekit.training.outputs import GRAPH

#: Validation photos on which kernels are compared.
SPREAD_PHOTOS = 100


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluateTorch(Stage):
    """The float network, as trained.

    Attributes:
        trained: the stage that left it.
        device: torch device, or ``auto``.
        output: what files end with; empty for the task's default, which all are compared with.
    """

    trained: Weights | Train
    device: str = field(metadata=UNHASHED)
    output: str = ""

    record = 2  # as that of `convert`: of those that end with boxes

    @property
    def name(self) -> str:
        """As the user sees it."""
        return f"evaluate fp32-torch-{self.output}" if self.output else "evaluate fp32-torch"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.networks.torch_network import Network

        photos = read_splits(of(self.trained.data)).val
        preprocessing = read_preprocessing(of(self.trained.weights))
        graph, task = Graph.load(of(self.trained) / GRAPH), find_task(preprocessing.task)
        network = Network(task.end_with(graph, self.output or task.outputs[0]))
        outputs = _predict(network, photos, preprocessing, self.device, progress)
        return keep_outputs(folder, outputs, photos, preprocessing)


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluateSimulation(Stage):
    """The quantized network in float arithmetic.

    Attributes:
        quantized: the stage that left it.
        device: torch device, or ``auto``.
    """

    quantized: QuantizedNetwork
    device: str = field(metadata=UNHASHED)

    title = "evaluate w8a8-sim"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.calibration.simulate import Simulation

        original = self.quantized.original
        photos, own = original.splits(of).val, original.preprocessing(of)
        preprocessing = with_input_of(of(self.quantized.calibrated), own)
        network = Simulation(Graph.load(of(self.quantized) / GRAPH))
        outputs = _predict(network, photos, preprocessing, self.device, progress)
        if original.head == "none":
            outputs = classify(outputs, of(original.trained), original.task(of))
        return keep_outputs(folder, outputs, photos, own)


def _predict(
    network: Any, photos: PhotoSet, preprocessing: Preprocessing, device: str, progress: Progress
) -> NDArray[Any]:
    from edgekit.networks.predict import predict
    from edgekit.networks.torch_device import pick_device

    return predict(
        network,
        photos,
        preprocessing,
        device=pick_device(device),
        advance=lambda done, total: progress("evaluate", done, total),
        keep=find_task(preprocessing.task).keep,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class OnFile(Stage):
    """A stage that runs a finished file.

    Attributes:
        converted: the stage that wrote it.
    """

    converted: ModelFile

    @property
    def tools(self) -> tuple[str, ...]:
        """The distribution of the runtime."""
        return (self.converted.package,)


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluateFile(OnFile):
    """A finished file, fed as on the device; in LiteRT's slow built-in kernels, on a part.

    Attributes:
        kernels: ``xnnpack`` or ``builtin``.
        threads: of the runtime.
    """

    kernels: str = "xnnpack"
    threads: int = field(metadata=UNHASHED)

    record = 2  # of other photos for the built-in kernels

    @property
    def name(self) -> str:
        """As the user sees it."""
        row = self.converted.row if self.kernels == "xnnpack" else "built-in kernels"
        return f"evaluate {row}"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        original = self.converted.original
        photos, task, part = original.splits(of).val, original.task(of), ""
        if self.kernels == "builtin":
            photos = photos.subset(spread_photos(len(photos)))
            part = f" of {len(photos)} photos"  # beside the other rows' it would be a drop
        advance = partial(progress, "evaluate")
        preprocessing = original.preprocessing(of)
        path = of(self.converted) / self.converted.file
        outputs = predict_file(path, photos, preprocessing, self.threads, advance, self.kernels)
        if original.head == "none":
            outputs = classify(outputs, of(original.trained), task)
        return keep_outputs(folder, outputs, photos, preprocessing) + part


def spread_photos(count: int) -> list[int]:
    """The validation photos that the slow built-in kernels run on."""
    return evenly(count, SPREAD_PHOTOS)


def classify(features: NDArray[Any], model: Path, task: Task) -> NDArray[Any]:
    """Outputs from features, by the trained network's own float head."""
    return task.head.apply(Graph.load(model / GRAPH), features)


def keep_outputs(
    folder: Path, outputs: NDArray[Any], photos: PhotoSet, preprocessing: Preprocessing
) -> str:
    """Keeps outputs for photos; returns the metric in words."""
    np.save(folder / LOGITS, outputs, allow_pickle=False)
    task = find_task(preprocessing.task)
    score = task.metric_of(outputs, task.labels(photos, preprocessing))
    return f"{task.metric.name} {score:.4f}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench(OnFile):
    """Load, first and warm latency of a file on this host.

    Attributes:
        threads: of the runtime.
    """

    threads: int

    title = "bench {0.converted.row}"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.runtimes.base import measure
        from edgekit.runtimes.open import open_classifier

        original, path = self.converted.original, of(self.converted) / self.converted.file
        pixels = original.preprocessing(of).pixels(original.splits(of).val.load(0))
        latency = measure(open_classifier(path, threads=self.threads), pixels)
        write_json(folder / LATENCY, latency | {"threads": self.threads})
        return f"median {latency['median']:.1f} ms"
