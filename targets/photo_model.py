"""A model file that answers for photos on this host, of any kind that has a runtime here.

A .tflite file runs in a process of its own, as a delegate may take that with it
(`edgekit.targets.measure.isolated`); the runtimes of the others run in this one, and a hang of
theirs is not stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgekit.converters.classifier import LOGIT, kind_of_scores, output_kind, sides_of
from edgekit.converters.file_task import FileTask, refuse_unknown
from edgekit.converters.model_files import About
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.converters.tflite.metadata import Metadata
from edgekit.data.images import Pixels
from edgekit.data.normalization import Normalization, not_stated
from edgekit.data.preprocessing import DEFAULT_TASK, Preprocessing
from edgekit.errors import UsageError
from edgekit.runtimes.base import measure
from edgekit.runtimes.litert import check_normalization
from edgekit.runtimes.open import RUNTIMES, Runtime, open_classifier
from edgekit.system.paths import StrPath
from edgekit.targets.measure import isolated as runner
from edgekit.targets.measure.isolated import Answer, Delegate, Effort

Progress = Callable[[int, int], None]
TFLITE = ".tflite"


class PhotoModel(Protocol):
    """A file that was read, and has not run yet."""

    @property
    def task(self) -> FileTask:
        """What it is for."""

    @property
    def runtime_name(self) -> str | None:
        """Of what runs it, in a word; None where a delegate is chosen."""

    @property
    def how(self) -> Preprocessing:
        """How a photo is prepared for it; its resolution is that of the input."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes, as many as the file has."""

    @property
    def labels_problem(self) -> str | None:
        """Why the file's labels cannot be read, or None."""

    def check(self, normalization: Normalization | None, delegate: Delegate) -> Delegate:
        """Returns what it will run with.

        Raises:
            UsageError: its input does not take that normalization, or it runs with no delegate.
        """

    def answer(
        self,
        batch: Pixels,
        delegate: Delegate,
        effort: Effort,
        normalization: Normalization | None,
        progress: Progress | None,
    ) -> Answer:
        """Answers for photos, and is measured on the first; see `isolated.run`."""

    def kind(self, scores: npt.NDArray[np.float32]) -> tuple[str, str]:
        """Whether a classifier's numbers are logits or probabilities, and what shows it."""


def open_photo_model(path: StrPath) -> PhotoModel:
    """Reads a .tflite, .onnx or .xml file, one of another ending as .tflite.

    Raises:
        UsageError: it cannot be read, does not take square photos, or its answers mean nothing
            that is known.
        MissingToolError: the package onnx is not installed.
    """
    runtime = RUNTIMES.get(Path(path).suffix.lower(), RUNTIMES[TFLITE])
    if runtime.ending == TFLITE:
        return _TFLiteModel(Path(path), *runner.read_answering(path))
    about: About = runtime.use(runtime.about)(path)
    refuse_unknown(path, about.task)
    return _RuntimeModel(Path(path), about, runtime)


def preparation(metadata: Metadata, size: int, task: str = DEFAULT_TASK) -> Preprocessing:
    """The file's own record; without one the whole centre square, or all of the photo.

    Readers of segmenters and detectors, such as the Task Library, stretch what they are not told to
    crop.
    """
    said = metadata.preprocessing
    return _prepared(None if said is None else Preprocessing.from_dict(said), size, task)


def _prepared(record: Preprocessing | None, size: int, task: str) -> Preprocessing:
    if record is None:
        fit = "crop" if task == DEFAULT_TASK else "stretch"
        none, one = (0.0,) * 3, (1.0,) * 3
        return Preprocessing(size, none, one, (), 1.0, "bilinear", task=task, fit=fit)
    return replace(record, resolution=size)


@dataclass(frozen=True)
class _TFLiteModel:
    path: Path
    model: TFLiteModel
    metadata: Metadata
    task: FileTask
    runtime_name: str | None = None

    @property
    def how(self) -> Preprocessing:
        size = self.model.tensors[self.model.inputs[0]].shape[1]
        return preparation(self.metadata, size, self.task.name)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.metadata.labels

    @property
    def labels_problem(self) -> str | None:
        return self.metadata.labels_problem

    def check(self, normalization: Normalization | None, delegate: Delegate) -> Delegate:
        check_normalization(self.path, self.model.tensors[self.model.inputs[0]], normalization)
        return delegate

    def answer(
        self,
        batch: Pixels,
        delegate: Delegate,
        effort: Effort,
        normalization: Normalization | None,
        progress: Progress | None,
    ) -> Answer:
        return runner.run(
            self.path,
            batch,
            delegate=delegate,
            preprocessing=normalization,
            effort=effort,
            progress=progress,
        )

    def kind(self, scores: npt.NDArray[np.float32]) -> tuple[str, str]:
        return output_kind(self.model, self.metadata, scores) or (LOGIT, "")


@dataclass(frozen=True)
class _RuntimeModel:
    path: Path
    about: About
    runtime: Runtime

    @property
    def task(self) -> FileTask:
        return self.about.task

    @property
    def runtime_name(self) -> str:
        return self.runtime.name

    @property
    def how(self) -> Preprocessing:
        sides = {side for side in self._sides() if isinstance(side, int) and side > 0}
        record = self.about.preprocessing
        if not sides and record is not None:  # it takes photos of any size
            sides = {record.resolution}
        if len(sides) != 1:
            shown = " x ".join(map(str, self._sides()))
            raise UsageError(
                f"{self.path} does not take square photos of one size",
                cause=f"its input is {shown} pixels",
            )
        return _prepared(record, sides.pop(), self.task.name)

    def _sides(self) -> tuple[int | str, ...]:
        return () if self.about.image is None else sides_of(self.about.image)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.about.labels

    @property
    def labels_problem(self) -> str | None:
        return None

    def check(self, normalization: Normalization | None, delegate: Delegate) -> Delegate:
        runs_in = f"{self.path} runs in {self.runtime.title}"
        if delegate.name not in (Delegate().name, "none"):
            raise UsageError(
                f"the delegate '{delegate.name}' is for .tflite files",
                cause=runs_in,
                hint="leave it out",
            )
        is_float = self.about.image is not None and self.about.image.dtype == "float32"
        if normalization is not None and not is_float:
            raise UsageError(
                f"--mean and --std are not for {self.path}",
                cause="its input takes the bytes of the photo",
                hint="leave them out",
            )
        if normalization is None and is_float and self.about.preprocessing is None:
            raise not_stated(self.path)
        return Delegate("none")  # these are the runtime's own kernels

    def answer(
        self,
        batch: Pixels,
        delegate: Delegate,
        effort: Effort,
        normalization: Normalization | None,
        progress: Progress | None,
    ) -> Answer:
        opened = open_classifier(
            self.path,
            threads=effort.threads,
            preprocessing=self.how,
            normalization=normalization,
        )
        found = measure(opened, batch[0], warm=effort.repeat, seconds=math.inf)
        scores: list[npt.NDArray[Any]] = []
        for pixels in batch:
            if progress is not None:
                progress(effort.repeat + len(scores), effort.repeat + len(batch))
            scores.append(opened.run(pixels[None])[0])
        latency = {"delegate": 0.0, "load": found.pop("init"), **found}
        return Answer(np.stack(scores), latency, opened.runtime)

    def kind(self, scores: npt.NDArray[np.float32]) -> tuple[str, str]:
        return kind_of_scores(scores) or (LOGIT, "its values are no probabilities")
