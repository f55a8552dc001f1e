"""Reads the labels and the preprocessing that stand in a .tflite file in the standard way.

The standard is TensorFlow Lite's: a ModelMetadata flatbuffer in the buffer "TFLITE_METADATA",
and the files that it names in a zip archive behind the model. Whatever reads that standard (the
TFLite Task Library, MediaPipe, Android Studio) finds the labels and feeds the right numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.converters.tflite import container
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite import metadata_schema as fields
from edgekit.data.label_files import decode_text, names_of, parse_literal, read_labels
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

LABELS_FILE = "labels.txt"
#: Of a segmenter: a line for each class, its colour as #rrggbb, and its name.
COLORS_FILE = "colors.txt"
RECORD_FILE = "edgekit.json"
#: Where Ultralytics packs a table with the task and the class names.
EXPORTER_FILE = "metadata.json"
#: Name of the output of a network without a classifier.
EMBEDDING = "embedding"
_TASKS = {fields.BOUNDING_BOX_PROPERTIES: "detect", fields.IMAGE_PROPERTIES: "segment"}


@dataclass(frozen=True)
class Metadata:
    """What a .tflite file says about itself; empty where it says nothing.

    Attributes:
        output: name of the first output: ``logit``, ``probability`` or ``embedding`` in our files.
        labels: class names; the position is the class index. They may be more or fewer than the
            model's outputs (`edgekit.data.label_files.fit_labels`).
        labels_problem: why a label file could not be read, or None.
        labels_file: the packed file that they stand in.
        task: what the model is for, where its exporter says so: "classify", "detect", "segment",
            "embed", ….
        mean: per channel or one for all; a reader feeds (pixel - mean) / std, then quantized.
            Empty where nothing usable is said.
        std: likewise.
        preprocessing: edgekit's whole record as `Preprocessing.to_dict` gives it, or None.
        activation: what makes probabilities of a segmenter's numbers, where the file says so:
            "none", "sigmoid" or "softmax".
        files: names of the files packed behind the model.
    """

    name: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    min_parser_version: str = ""
    output: str = ""
    labels: tuple[str, ...] = ()
    labels_problem: str | None = None
    labels_file: str = ""
    task: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    preprocessing: dict[str, Any] | None = None
    activation: str = ""
    files: tuple[str, ...] = ()


def read_metadata(path: StrPath | bytes) -> Metadata:
    """Reads the metadata of any .tflite file (or its bytes), whoever wrote it.

    Raises:
        UsageError: the file cannot be read, is not TFLite, or its metadata is damaged.
    """
    data = path if isinstance(path, bytes) else tflite_file.read_bytes(path)
    model = tflite_file.parse(data, name="the model" if isinstance(path, bytes) else str(path))
    files = container.unpack(data)
    try:
        table = fields.decode(model.metadata) if model.metadata else {}
        record = json.loads(files.get(RECORD_FILE, b"{}"))
        preprocessing = record.get("preprocessing")
        graph: dict[str, Any] = next(iter(table.get("subgraph_metadata", [])), {})
        activation = fields.segmenter_activation(graph)
    except (ValueError, AttributeError, RecursionError) as error:
        raise UsageError("the model's metadata is damaged", cause=str(error)) from error
    image: dict[str, Any] = next(iter(graph.get("input_tensor_metadata", [])), {})
    mean, std = _normalization(image)
    labels_file = _labels_file(graph, files)
    labels, labels_problem = _read_labels(files, labels_file)
    return Metadata(
        name=table.get("name", ""),
        description=table.get("description", ""),
        author=table.get("author", ""),
        license=table.get("license", ""),
        min_parser_version=table.get("min_parser_version", ""),
        labels=labels,
        labels_problem=labels_problem,
        labels_file=labels_file,
        task=_task(graph, [files.get(name, b"") for name in (EXPORTER_FILE, labels_file)]),
        output=_output_name(graph),
        mean=mean,
        std=std,
        preprocessing=preprocessing if isinstance(preprocessing, dict) else None,
        activation=activation,
        files=tuple(files),
    )


def _normalization(image: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for unit in image.get("process_units", []):
        if unit.get("options_type") == fields.NORMALIZATION_OPTIONS:
            options = unit.get("options", {})
            mean, std = tuple(options.get("mean", ())), tuple(options.get("std", ()))
            return (mean, std) if _is_usable(mean, std) else ((), ())
    return (), ()


def _is_usable(mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
    """Whether they are numbers for one channel or three, and can be divided by."""
    lengths = {len(mean), len(std)} <= {1, 3}
    return lengths and all(map(math.isfinite, (*mean, *std))) and min(std) > 0


def _output_name(graph: dict[str, Any]) -> str:
    outputs = graph.get("output_tensor_metadata") or [{}]
    return str(outputs[0].get("name", ""))


def _labels_file(graph: dict[str, Any], files: dict[str, bytes]) -> str:
    """The file of the class names; of several, that of no language, else of English."""
    kinds = (fields.TENSOR_AXIS_LABELS, fields.TENSOR_VALUE_LABELS)
    found = [
        (str(file.get("locale", "")), str(file.get("name", "")))
        for output in graph.get("output_tensor_metadata", [])
        for file in output.get("associated_files", [])
        if file.get("type") in kinds and file.get("name", "") in files
    ]
    order = ("", "en")
    found.sort(key=lambda item: order.index(item[0]) if item[0] in order else len(order))
    return found[0][1] if found else ""


def _read_labels(files: dict[str, bytes], name: str) -> tuple[tuple[str, ...], str | None]:
    """The labels of a file, else of an exporter's table; and why they could not be read."""
    if not name:
        table = parse_literal(decode_text(files.get(EXPORTER_FILE, b"")))
        return (names_of(table) if isinstance(table, dict) else None) or (), None
    try:
        return read_labels(files[name]), None
    except UsageError as error:
        return (), f"{error.message}: {error.cause}"


def _task(graph: dict[str, Any], tables: Sequence[bytes]) -> str:
    """What the model is for: by its exporter's table, else by what its outputs are said to be."""
    for data in tables:
        table = parse_literal(decode_text(data))
        if isinstance(table, dict) and isinstance(table.get("task"), str):
            return str(table["task"])
    if _output_name(graph) == EMBEDDING:
        return "embed"
    kinds = [
        output.get("content", {}).get("content_properties_type", 0)
        for output in graph.get("output_tensor_metadata", [])
    ]
    return next((_TASKS[kind] for kind in kinds if kind in _TASKS), "")
