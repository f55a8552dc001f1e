"""Embeds labels and preprocessing in a .tflite file in the standard way, and reads them back.

The standard is TensorFlow Lite's: a ModelMetadata flatbuffer in the buffer "TFLITE_METADATA",
and the files that it names in a zip archive behind the model. Whatever reads that standard (the
TFLite Task Library, MediaPipe, Android Studio) finds the labels and feeds the right numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.converters import tflite_container as container
from edgekit.converters import tflite_file
from edgekit.converters import tflite_metadata_schema as fields
from edgekit.converters.tflite_file import Tensor, TFLiteModel
from edgekit.errors import UsageError
from edgekit.labels import decode_text, names_of, parse_literal, read_labels
from edgekit.paths import StrPath

if TYPE_CHECKING:
    from edgekit.preprocessing import Preprocessing

LABELS_FILE = "labels.txt"
RECORD_FILE = "edgekit.json"
#: Where Ultralytics packs a table with the task and the class names.
EXPORTER_FILE = "metadata.json"
EMBEDDING = "embedding"  # name of the output of a network without a classifier
_TASKS = {fields.BOUNDING_BOX_PROPERTIES: "detect", fields.IMAGE_PROPERTIES: "segment"}


@dataclass(frozen=True)
class Metadata:
    """What a .tflite file says about itself; empty where it says nothing.

    Attributes:
        output: name of the first output: ``logit``, ``probability`` or ``embedding`` in our files.
        labels: class names; the position is the class index. They may be more or fewer than the
            model's outputs (`edgekit.labels.fit_labels`).
        labels_problem: why a label file could not be read, or None.
        labels_file: the packed file that they stand in.
        task: what the model is for, where its exporter says so: "classify", "detect", "segment",
            "embed", ….
        mean: per channel or one for all; a reader feeds (pixel - mean) / std, then quantized.
            Empty where nothing usable is said.
        std: likewise.
        preprocessing: edgekit's whole record as `Preprocessing.to_dict` gives it, or None.
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
    files: tuple[str, ...] = ()


def embed(
    model: StrPath | bytes,
    *,
    name: str,
    description: str,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    author: str = "",
    license: str = "",
) -> bytes:
    """Returns the model's bytes with metadata, replacing what it had; the same on every call.

    The normalization is that of the model's own input. A float32 input takes
    (pixel - mean) / std of ``preprocessing``. A quantized input has the preprocessing folded in
    and takes the pixels' bytes, so mean and std are the ones that its scale and zero point undo:
    ``mean = zero_point + low, std = 1 / scale`` with ``low`` 0 for uint8 and 128 for int8.

    Args:
        model: a .tflite file or its bytes, with one image input, NHWC, and a score per class
            as its first output.
        name: what readers show as the model's name.
        description: what readers show below it.
        labels: one name per class, in the order of the output; none for an embedding.
        preprocessing: how a photo becomes normalised values. What is stored is the record of the
            model's own input (`Preprocessing.of_input`).
        author: who made the model; left out when empty.
        license: under what it may be used; left out when empty.

    Raises:
        UsageError: the model is not of that kind, or the labels do not fit its output.
    """
    data = model if isinstance(model, bytes) else tflite_file.read_bytes(model)
    parsed = tflite_file.parse(data)
    image, scores = _classifier(parsed)
    _check_labels(labels, scores)
    metadata = {
        "name": name,
        "description": description,
        "subgraph_metadata": [
            {
                "input_tensor_metadata": [_input(image, preprocessing)],
                "output_tensor_metadata": [_output(parsed, scores, labels)],
            }
        ],
        **({"author": author} if author else {}),
        **({"license": license} if license else {}),
        "associated_files": [
            {"name": RECORD_FILE, "description": "How edgekit prepares a photo for this model."}
        ],
        "min_parser_version": fields.MIN_PARSER_VERSION,
    }
    own = preprocessing.of_input(image.dtype)
    record = {"schema_version": 1, "preprocessing": own.to_dict()}
    flat = container.attach(data[: container.flatbuffer_size(data)], fields.encode(metadata))
    return container.pack(
        flat,
        {
            **({LABELS_FILE: "\n".join(labels).encode()} if labels else {}),
            RECORD_FILE: json.dumps(record, indent=1, sort_keys=True).encode(),
        },
    )


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
    except (ValueError, AttributeError, RecursionError) as error:
        raise UsageError("the model's metadata is damaged", cause=str(error)) from error
    graph: dict[str, Any] = next(iter(table.get("subgraph_metadata", [])), {})
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
        files=tuple(files),
    )


def _classifier(model: TFLiteModel) -> tuple[Tensor, Tensor]:
    """The image input and the scores of a classifier."""
    if len(model.inputs) != 1 or not model.outputs:
        raise UsageError(
            "the model is not an image classifier", cause=f"it has {len(model.inputs)} inputs"
        )
    image, scores = model.tensors[model.inputs[0]], model.tensors[model.outputs[0]]
    if len(image.shape) != 4 or image.shape[3] != 3:
        raise UsageError(
            "the model is not an image classifier",
            cause=f"its input is {list(image.shape)}, not [1, height, width, 3]",
        )
    return image, scores


def _check_labels(labels: Sequence[str], scores: Tensor) -> None:
    if not scores.shape or (labels and len(labels) != scores.shape[-1]):
        raise UsageError(
            "the labels do not fit the model",
            cause=f"{len(labels)} labels for an output of {list(scores.shape)}",
        )
    bad = [label for label in labels if not label.strip() or len(label.splitlines()) != 1]
    if bad:
        raise UsageError("a label must be one line of text", cause=f"{bad[0]!r} is not")


def _input(image: Tensor, preprocessing: Preprocessing) -> dict[str, Any]:
    if image.dtype == "float32":
        mean, std = list(preprocessing.mean), list(preprocessing.std)
        limits = np.array([[0.0], [255.0]])
        low, high = ((limits - mean) / std).tolist()
    elif image.scale is not None and image.dtype in ("uint8", "int8"):
        offset = 128 if image.dtype == "int8" else 0
        mean, std = [float(image.zero_point or 0) + offset], [1 / image.scale]
        low, high = [0.0 - offset], [255.0 - offset]
    else:
        raise UsageError(
            "the model's input cannot be described", cause=f"it is an unquantized {image.dtype}"
        )
    height, width = image.shape[1:3]
    return {
        "name": "image",
        "description": f"RGB photo, {width} x {height} pixels, {image.dtype}.",
        "content": {
            "content_properties_type": fields.IMAGE_PROPERTIES,
            "content_properties": {
                "color_space": fields.RGB,
                "default_size": {"width": width, "height": height},
            },
        },
        "process_units": [
            {
                "options_type": fields.NORMALIZATION_OPTIONS,
                "options": {"mean": mean, "std": std},
            }
        ],
        "stats": {"max": high, "min": low},
    }


def _output(model: TFLiteModel, scores: Tensor, labels: Sequence[str]) -> dict[str, Any]:
    name, description = _output_words(model, scores, labels)
    table: dict[str, Any] = {
        "name": name,
        "description": description,
        "content": {
            "content_properties_type": fields.FEATURE_PROPERTIES,
            "content_properties": {},
        },
    }
    if labels:
        what = "Class names in the order of the output."
        table["associated_files"] = [
            {"name": LABELS_FILE, "description": what, "type": fields.TENSOR_AXIS_LABELS}
        ]
    if scores.scale is not None and scores.dtype in ("uint8", "int8"):
        limits = np.iinfo(scores.dtype)
        zero_point = scores.zero_point or 0
        table["stats"] = {
            "max": [(limits.max - zero_point) * scores.scale],
            "min": [(limits.min - zero_point) * scores.scale],
        }
    return table


def _output_words(model: TFLiteModel, scores: Tensor, labels: Sequence[str]) -> tuple[str, str]:
    if not labels:
        return EMBEDDING, "The photo as a vector, for a classifier of one's own."
    producer = model.producer(scores.index)
    while producer is not None and producer.name in ("QUANTIZE", "DEQUANTIZE"):
        producer = model.producer(producer.inputs[0])
    probability = producer is not None and producer.name == "SOFTMAX"
    name = "probability" if probability else "logit"
    return name, f"A {name} per class."


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
