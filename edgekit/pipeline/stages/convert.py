"""The stages that write model files, each read back and checked against its scheme."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError
from edgekit.networks.graph import Graph
from edgekit.networks.schemes import FP16, MIXED, W8A8, scheme_of
from edgekit.pipeline.selection import choosing_half
from edgekit.pipeline.stage import FolderOf, Stage, hashed_as
from edgekit.pipeline.stages.quantize import QuantizedNetwork
from edgekit.pipeline.stages.train import FloatNetwork
from edgekit.runs import MODEL, with_input_of
from edgekit.system.console import Progress
from edgekit.system.host import installed
from edgekit.system.text import size
from edgekit.targets.files import Form, Source
from edgekit.tasks.registry import find_task
from edgekit.training.outputs import GRAPH


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelFile(Stage):
    """A stage that writes the file that a runtime opens.

    Attributes:
        network: what it is written from.
        output: what it ends with, one of its task's; empty for the default.
    """

    network: FloatNetwork | QuantizedNetwork
    output: str = ""

    @property
    def file(self) -> str:
        """The name of that file in the folder."""
        return MODEL

    @property
    def package(self) -> str:
        """The distribution of the runtime."""
        return "ai-edge-litert"

    @property
    @abstractmethod
    def row(self) -> str:
        """Its name in the report."""

    @property
    def original(self) -> FloatNetwork:
        """The float network."""
        return self.network.original

    def graph(self, of: FolderOf) -> Graph:
        """What is written: a prepared network, with its output."""
        from edgekit.networks.passes import prepare

        if isinstance(self.network, FloatNetwork):
            graph = prepare(self.network.graph(of))
        else:
            graph = Graph.load(of(self.network) / GRAPH)
        task = self.original.task(of)
        return task.end_with(graph, self.output or task.outputs[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvertFloat(ModelFile):
    """Writes a file of the float network: fp32, the control run of the int8 one, or fp16.

    Attributes:
        scheme: ``fp32`` or ``fp16``.
    """

    network: FloatNetwork
    scheme: str

    title = "convert {0.scheme}"
    record = 4  # detectors that end with boxes lost a class

    @property
    def row(self) -> str:
        """Its name in the report."""
        return f"{self.scheme}-tflite"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        graph = self.graph(of)
        return _convert(folder, graph, self.network.preprocessing(of), self.scheme, "float32")


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvertQuantized(ModelFile):
    """Writes the file of a quantized network.

    Attributes:
        scheme: that it is asked for in; one with layers in float is ``w8a8-static`` here.
        io: type of its input and output.
    """

    network: QuantizedNetwork
    scheme: str
    io: str

    title = "convert {0.scheme}"
    record = 4  # detectors that end with boxes lost a class

    @property
    def row(self) -> str:
        """Its name in the report."""
        return "w8a8-tflite" if self.scheme == W8A8 else f"{self.scheme}-tflite"

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        graph = self.graph(of)
        calibration = of(self.network.calibrated)
        preprocessing = with_input_of(calibration, self.original.preprocessing(of))
        return _convert(folder, graph, preprocessing, scheme_of(graph), self.io)


def _of_form(form: Form) -> dict[str, Any]:
    return {"row": form.row, "writer": installed(form.package), **dict(form.reads)}


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvertForm(ModelFile):
    """Writes a form of a target's own.

    Attributes:
        form: what is written.
        io: type of its input; no runtime but TFLite's takes int8.
    """

    form: Form = field(metadata=hashed_as(_of_form))
    io: str

    title = "convert {0.row}"
    record = 2

    @property
    def row(self) -> str:
        """Its name in the report."""
        return self.form.row

    @property
    def file(self) -> str:
        """The file that the runtime opens."""
        return self.form.file

    @property
    def package(self) -> str:
        """The distribution of the runtime."""
        return self.form.package

    def run(self, folder: Path, progress: Progress, of: FolderOf) -> str:
        """See `Stage.run`."""
        from edgekit.data.batches import eval_batches

        preprocessing = self.original.preprocessing(of)
        splits = self.original.splits(of)
        photos, validation = splits.calibration, splits.val
        graph = self.graph(of)
        seed = self.original.trained.data.seed

        def batches() -> Iterator[NDArray[np.uint8]]:
            done = 0
            for pixels, _ in eval_batches(photos, preprocessing, 16):
                yield pixels
                done += len(pixels)
                progress("calibrate", min(done, len(photos)), len(photos))

        def choosing() -> Iterator[tuple[NDArray[np.uint8], NDArray[Any]]]:
            chosen = validation.subset(choosing_half(len(validation), seed))
            labels = find_task(preprocessing.task).labels(chosen, preprocessing)
            for pixels, indices in eval_batches(chosen, preprocessing, 16):
                yield pixels, labels[indices]

        advance = partial(progress, f"train {self.row}")
        io = "float32" if self.io == "float32" else "uint8"
        source = Source(graph, preprocessing, io, batches, choosing, splits, advance)
        return self.form.write(source, folder)


def _convert(folder: Path, graph: Graph, preprocessing: Preprocessing, scheme: str, io: str) -> str:
    """Writes a file with its metadata, reads it back and proves that it is of its scheme."""
    from edgekit.converters.tflite.about import About
    from edgekit.converters.tflite.write import write_tflite

    said = find_task(preprocessing.task).describe(graph, preprocessing.labels)
    about = About(
        name=f"EfficientNet-{graph.name.capitalize()} {scheme}",
        description=said.text,
        labels=said.labels,
        outputs=said.outputs,
        preprocessing=preprocessing,
        author="edgekit",
    )
    path = folder / MODEL
    written = write_tflite(graph, path, io=io, half=scheme == FP16, about=about)
    if broken := _faults(path, scheme):
        raise EdgekitError(f"the {scheme} file breaks the scheme", cause="; ".join(broken[:3]))
    return size(written)


def _faults(path: Path, scheme: str) -> list[str]:
    """What a written file has that its scheme does not allow."""
    from edgekit.converters.tflite.checks import check_int8, check_mixed
    from edgekit.converters.tflite.file import read
    from edgekit.converters.tflite.scheme import scheme as scheme_in

    model = read(path)
    rules = {W8A8: check_int8, MIXED: check_mixed}
    if scheme in rules:
        return [str(found) for found in rules[scheme](model) if found.severity == "error"]
    found = scheme_in(model)
    return [] if found == scheme else [f"its operators and tensors are of {found}"]
