"""What a model file of any kind says of itself: .tflite, .onnx and .xml alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.converters.classifier import End
from edgekit.converters.file_task import FileTask, onnx_task, openvino_task, tflite_task
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite import scheme as tflite_scheme
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.preprocessing import Preprocessing
from edgekit.system.paths import StrPath


@dataclass(frozen=True)
class About:
    """What a file says of itself.

    Attributes:
        preprocessing: how a photo is prepared, or None.
        scheme: its quantization in a word.
        size_bytes: of all files that belong to it.
        task: what it is for.
        labels: names of its classes; empty where it has none.
        image: its first input; None where it has none.
    """

    preprocessing: Preprocessing | None
    scheme: str
    size_bytes: int
    task: FileTask
    labels: tuple[str, ...]
    image: End | None

    @property
    def not_a_classifier(self) -> str | None:
        """Why it is no image classifier, or None."""
        return self.task.problem


def about_openvino(path: StrPath) -> About:
    """Reads an OpenVINO IR, by its .xml."""
    from edgekit.converters.openvino import file as openvino_file

    ir = openvino_file.read(path)
    image = ir.inputs[0] if ir.inputs else None
    return About(ir.preprocessing, ir.scheme, ir.size_bytes, openvino_task(ir), ir.labels, image)


def about_onnx(path: StrPath) -> About:
    """Reads a .onnx file; raises MissingToolError where the package onnx is not installed."""
    from edgekit.converters.onnx import file as onnx_file

    onnx = onnx_file.read(path)
    how, image = _record(onnx.preprocessing), onnx.inputs[0] if onnx.inputs else None
    return About(how, onnx.scheme, onnx.size_bytes, onnx_task(onnx), onnx.labels, image)


def about_tflite(path: StrPath) -> About:
    """Reads a .tflite file."""
    data = tflite_file.read_bytes(path)
    model, metadata = tflite_file.parse(data, name=str(path)), read_metadata(data)
    task = tflite_task(model, metadata)
    scheme = tflite_scheme.scheme(model)
    image = model.tensors[model.inputs[0]] if model.inputs else None
    how = _record(metadata.preprocessing)
    return About(how, scheme, model.size_bytes, task, metadata.labels, image)


def _record(said: dict[str, Any] | None) -> Preprocessing | None:
    return Preprocessing.from_dict(said) if said else None
