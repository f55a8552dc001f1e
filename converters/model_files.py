"""What a model file of any kind says of itself: .tflite, .onnx and .xml alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.converters.classifier import onnx_problem, openvino_problem, tflite_problem
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite import scheme as tflite_scheme
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.preprocessing import Preprocessing
from edgekit.system.paths import StrPath

ONNX, OPENVINO = ".onnx", ".xml"


@dataclass(frozen=True)
class About:
    """What a file says of itself.

    Attributes:
        preprocessing: how a photo is prepared, or None.
        scheme: its quantization in a word.
        size_bytes: of all files that belong to it.
        not_a_classifier: why it is no image classifier, or None.
        scheme_in_words: of a .tflite file; the others keep the same weights in other types.
    """

    preprocessing: Preprocessing | None
    scheme: str
    size_bytes: int
    not_a_classifier: str | None
    scheme_in_words: str = ""


def read_about(path: StrPath) -> About:
    """Reads a file by its ending; one that is neither .onnx nor .xml as .tflite.

    Raises:
        UsageError: it cannot be read, or is damaged.
        MissingToolError: the package onnx is not installed.
    """
    ending = Path(path).suffix.lower()
    if ending == OPENVINO:
        from edgekit.converters.openvino import file as openvino_file

        ir = openvino_file.read(path)
        return About(ir.preprocessing, ir.scheme, ir.size_bytes, openvino_problem(ir))
    if ending == ONNX:
        from edgekit.converters.onnx import file as onnx_file

        onnx = onnx_file.read(path)
        record = _record(onnx.preprocessing)
        return About(record, onnx.scheme, onnx.size_bytes, onnx_problem(onnx))
    model, metadata = tflite_file.read(path), read_metadata(path)
    problem = tflite_problem(model, metadata)
    record = _record(metadata.preprocessing)
    scheme = tflite_scheme.scheme(model)
    words = tflite_scheme.scheme_in_words(scheme)
    return About(record, scheme, model.size_bytes, problem, "" if words == scheme else words)


def _record(said: dict[str, Any] | None) -> Preprocessing | None:
    return Preprocessing.from_dict(said) if said else None
