"""What a model file is for: by its own words, else by the shape of what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.converters.answer import Rows, rows_of
from edgekit.converters.classifier import (
    End,
    inputs_problem,
    onnx_problem,
    openvino_problem,
    photo_problem,
    tflite_problem,
)
from edgekit.converters.detector import BoxesEnd, tflite_boxes
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
#: Of files that answer with rows, a place in each, and say so in their record.
OF_ROWS = "detection"


@dataclass(frozen=True)
class FileTask:
    """What a file is for.

    Attributes:
        name: of a package of `edgekit.tasks`; empty where its answers mean something else.
        map: what a segmenter answers with; None of others.
        problem: why it is no classifier; None of one.
        rows: what a detector answers with, before its boxes are chosen; None of others.
        boxes: what a detector answers with that has chosen them; None of others.
    """

    name: str
    map: MapEnd | None
    problem: str | None
    rows: Rows | None = None
    boxes: BoxesEnd | None = None

    def __str__(self) -> str:
        if self.map is not None:
            return f"segmenter: {self.map}"
        if self.rows is not None or self.boxes is not None:
            return f"detector: {self.rows or self.boxes}"
        return self.problem or "classifier"


def _of(found: MapEnd | None, problem: str | None, rows: Rows | None = None) -> FileTask:
    if found is not None:
        return FileTask(OF_MAPS, found, problem)
    if rows is not None:
        return FileTask(OF_ROWS, None, problem, rows)
    return FileTask("" if problem else DEFAULT_TASK, None, problem)


def _rows(record: Mapping[str, Any] | None, outputs: Sequence[End]) -> Rows | None:
    """The rows of a file whose record says that it is a detector's."""
    return rows_of(outputs) if (record or {}).get("task") == OF_ROWS else None


def tflite_task(model: TFLiteModel, metadata: Metadata) -> FileTask:
    """What a .tflite file is for."""
    if boxes := tflite_boxes(model):
        return FileTask(OF_ROWS, None, tflite_problem(model, metadata), boxes=boxes)
    outputs = [] if photo_problem(model) else [model.tensors[index] for index in model.outputs]
    rows = _rows(metadata.preprocessing, outputs)
    return _of(tflite_map(model, metadata), tflite_problem(model, metadata), rows)


def onnx_task(model: OnnxModel) -> FileTask:
    """What a .onnx file is for."""
    rows = None if inputs_problem(model.inputs) else _rows(model.preprocessing, model.outputs)
    return _of(onnx_map(model), onnx_problem(model), rows)


def openvino_task(model: IRModel) -> FileTask:
    """What an OpenVINO IR is for."""
    record = {"task": model.preprocessing.task} if model.preprocessing else None
    rows = None if inputs_problem(model.inputs) else _rows(record, model.outputs)
    return _of(openvino_map(model), openvino_problem(model), rows)


def refuse_unknown(path: object, task: FileTask) -> None:
    """Raises UsageError where a file's answers mean nothing that is known."""
    if not task.name:
        raise UsageError(
            f"{path} is not an image classifier, and no segmenter or detector",
            cause=task.problem,
            hint=f"edgekit inspect {path}",
        )
