"""What a model file is for: by its own words, else by the shape of what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.converters.classifier import onnx_problem, openvino_problem, tflite_problem
from edgekit.converters.segmenter import MapEnd, onnx_map, openvino_map, tflite_map
from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.converters.onnx.file import OnnxModel
    from edgekit.converters.openvino.file import IRModel
    from edgekit.converters.tflite.file import TFLiteModel
    from edgekit.converters.tflite.metadata import Metadata

#: Of files that answer with a map.
OF_MAPS = "segmentation"


@dataclass(frozen=True)
class FileTask:
    """What a file is for.

    Attributes:
        name: of a package of `edgekit.tasks`; empty where its answers mean something else.
        map: what a segmenter answers with; None of others.
        problem: why it is no classifier; None of one.
    """

    name: str
    map: MapEnd | None
    problem: str | None

    def __str__(self) -> str:
        if self.map is not None:
            return f"segmenter: {self.map}"
        return self.problem or "classifier"


def _of(found: MapEnd | None, problem: str | None) -> FileTask:
    if found is not None:
        return FileTask(OF_MAPS, found, problem)
    return FileTask("" if problem else DEFAULT_TASK, None, problem)


def tflite_task(model: TFLiteModel, metadata: Metadata) -> FileTask:
    """What a .tflite file is for."""
    return _of(tflite_map(model, metadata), tflite_problem(model, metadata))


def onnx_task(model: OnnxModel) -> FileTask:
    """What a .onnx file is for."""
    return _of(onnx_map(model), onnx_problem(model))


def openvino_task(model: IRModel) -> FileTask:
    """What an OpenVINO IR is for."""
    return _of(openvino_map(model), openvino_problem(model))


def refuse_unknown(path: object, task: FileTask) -> None:
    """Raises UsageError where a file's answers mean nothing that is known."""
    if not task.name:
        raise UsageError(
            f"{path} is not an image classifier, and no segmenter",
            cause=task.problem,
            hint=f"edgekit inspect {path}",
        )
