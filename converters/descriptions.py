"""Says what a .onnx file or an OpenVINO IR is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.converters.classifier import count_classes
from edgekit.converters.file_task import FileTask, onnx_task, openvino_task
from edgekit.data.label_files import fit_labels
from edgekit.system.hashing import hash_file
from edgekit.system.paths import StrPath

SCHEMA_VERSION = 1


def describe_onnx(path: StrPath) -> dict[str, Any]:
    """Describes a .onnx file as JSON values, as `inspect_file` does .tflite.

    Raises:
        UsageError: it cannot be read, or is damaged.
        MissingToolError: the package onnx is not installed.
    """
    path = Path(path)
    from edgekit.converters.onnx import file as onnx_file

    model = onnx_file.read(path)
    return {
        **_file(path, [path.name, *model.external], model.size_bytes),
        "description": f"ONNX, opset {model.opset}, by {model.producer or 'an unknown tool'}",
        "scheme": model.scheme,
        **_ends(model.inputs, model.outputs),
        "operators": _operators(model.operators),
        "labels": list(model.labels),
        "preprocessing": model.preprocessing,
        **describe_task(onnx_task(model)),
        "labels_note": _labels_note(model.labels, model.outputs, onnx_task(model)),
        "findings": {"onnx": [asdict(finding) for finding in onnx_file.check(model)]},
    }


def describe_openvino(path: StrPath) -> dict[str, Any]:
    """Describes an OpenVINO IR, by its .xml, as JSON values.

    Raises:
        UsageError: a file is missing or damaged.
    """
    path = Path(path)
    from edgekit.converters.openvino import checks as openvino_checks
    from edgekit.converters.openvino import file as openvino_file

    model = openvino_file.read(path)
    record = model.preprocessing
    return {
        **_file(path, [path.name, path.with_suffix(".bin").name], model.size_bytes),
        "description": f"OpenVINO IR, version {model.version}, of {model.name or 'no name'}",
        "scheme": model.scheme,
        **_ends(model.inputs, model.outputs),
        "operators": _operators(model.operators),
        "labels": list(model.labels),
        "preprocessing": record.to_dict() if record else None,
        **describe_task(openvino_task(model)),
        "labels_note": _labels_note(model.labels, model.outputs, openvino_task(model)),
        "findings": {"openvino": [asdict(f) for f in openvino_checks.findings(model)]},
    }


def _file(path: Path, files: list[str], size: int) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(path),
        "files": files,
        "size_bytes": size,
        "sha256": hash_file(path),
    }


def _ends(inputs: Sequence[Any], outputs: Sequence[Any]) -> dict[str, Any]:
    return {
        name: [
            {
                "name": end.name,
                "shape": None if end.shape is None else list(end.shape),
                "dtype": end.dtype,
            }
            for end in ends
        ]
        for name, ends in (("inputs", inputs), ("outputs", outputs))
    }


def _operators(counts: Any) -> list[dict[str, Any]]:
    return [{"name": name, "count": count} for name, count in sorted(counts.items())]


def describe_task(task: FileTask) -> dict[str, Any]:
    """What a file is for, as JSON values.

    Returns:
        ``task`` (a package of `edgekit.tasks`, or empty), ``not_a_classifier`` (why, or None for
        an image classifier) and ``map``: ``height``, ``width``, ``kind`` ("logits" or "classes")
        and ``classes`` (numbers at a pixel, or None) of what a segmenter answers with, else None;
        ``rows``: ``count`` and the ``columns`` of each output of a detector, else None; and
        ``boxes``: ``most`` and ``classes`` of a detector that ends with boxes, else None.
    """
    found = task.map
    return {
        "task": task.name,
        "not_a_classifier": task.problem,
        "map": asdict(found) | {"kind": found.kind} if found else None,
        "rows": asdict(task.rows) if task.rows else None,
        "boxes": asdict(task.boxes) if task.boxes else None,
    }


def _labels_note(labels: Sequence[str], outputs: Sequence[Any], task: FileTask) -> str | None:
    if task.map is not None:
        classes = task.map.classes
    elif task.rows is not None:
        classes = task.rows.columns[-1]
    elif task.boxes is not None:
        classes = task.boxes.classes
    else:
        classes = count_classes(outputs[0]) if len(outputs) == 1 else None
    return None if classes is None else fit_labels(labels, classes).note
