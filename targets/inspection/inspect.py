"""Says what a model file is: types, operators, labels, preprocessing, and what is wrong."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgekit.converters.classifier import count_classes, photo_problem
from edgekit.converters.descriptions import describe_task
from edgekit.converters.file_task import FileTask, tflite_task
from edgekit.converters.tflite import container
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.cost import activation_bytes
from edgekit.converters.tflite.detections import POST_PROCESS, find_post_process
from edgekit.converters.tflite.file import Tensor, TFLiteModel
from edgekit.converters.tflite.metadata import Metadata, read_metadata
from edgekit.converters.tflite.op_versions import OP_VERSIONS_TF_2_5
from edgekit.converters.tflite.scheme import count_schemes
from edgekit.data.label_files import FittedLabels, fit_labels
from edgekit.data.preprocessing import DEFAULT_TASK, Preprocessing
from edgekit.errors import UsageError
from edgekit.runtimes.open import RUNTIMES
from edgekit.system.paths import StrPath
from edgekit.targets import registry
from edgekit.targets.photo_model import preparation
from edgekit.targets.schemes import scheme_of

SCHEMA_VERSION = 1
MOST_INLINE_LABELS = 20


def inspect_file(path: StrPath) -> dict[str, Any]:
    """Describes a model file as JSON values.

    Args:
        path: of a .tflite file. Of a .onnx or .xml file less is said:
            `edgekit.converters.descriptions`.

    Returns:
        ``schema_version``, ``path``, ``size_bytes``, ``sha256``, ``scheme``, ``inputs`` and
        ``outputs`` (name, shape, dtype, scale, zero_point), ``operators`` (name, version, count,
        newest_in_tf_2_5), ``metadata``, ``findings`` by target, ``weights`` (how many operators
        with weights have which scheme), ``task``, ``not_a_classifier`` and ``map`` as of
        `describe_task`, ``map_bytes`` (of what a segmenter gives for a photo, or None),
        ``labels_note`` (how the labels differ from the output, or None),
        ``needs_normalization`` (whether its float input takes photos that are normalised in a way
        that the file does not say), ``snippet``: Python that runs the model, or None; and by the
        name of each target with a compiler what `describe_compiled` of the target says, or None.

    Raises:
        UsageError: the file cannot be read, is not TFLite, or is damaged.
    """
    path = Path(path)
    other = RUNTIMES.get(path.suffix.lower())
    if other and other.describe:
        described: dict[str, Any] = other.use(other.describe)(path)
        return described
    data = tflite_file.read_bytes(path)
    model = tflite_file.parse(data, name=str(path))
    metadata = read_metadata(data)
    task = tflite_task(model, metadata)
    counts = Counter((op.name, op.version) for op in model.operators)
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(path),
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "description": model.description,
        "scheme": scheme_of(model),
        "weights": count_schemes(model),
        "inputs": [_end(model.tensors[i]) for i in model.inputs],
        "outputs": [_end(model.tensors[i]) for i in model.outputs],
        "operators": [
            {
                "name": name,
                "version": version,
                "count": count,
                "newest_in_tf_2_5": OP_VERSIONS_TF_2_5.get(name),
            }
            for (name, version), count in sorted(counts.items())
        ],
        "custom_operators": list(model.custom_codes),
        "metadata": asdict(metadata),
        **describe_task(task),
        "map_bytes": activation_bytes(model.tensors[model.outputs[0]]) if task.map else None,
        "labels_note": _fitted(model, metadata, task).note,
        "needs_normalization": needs_normalization(model, metadata),
        "findings": _findings(path, model),
        **{
            target.name: target.describe_compiled(model)
            for target in registry.usable()
            if target.custom_operator
        },
        "snippet": snippet(path, data, model, metadata),
    }


def needs_normalization(model: TFLiteModel, metadata: Metadata) -> bool:
    """Whether a photo cannot be fed without a mean and a std that the file does not state."""
    if photo_problem(model) or (metadata.mean and metadata.std):
        return False
    return model.tensors[model.inputs[0]].dtype == "float32"


def _end(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _findings(path: Path, model: TFLiteModel) -> dict[str, list[dict[str, str]]]:
    """What the targets of 8-bit models say; nothing of a model that is meant for none of them."""
    scheme = scheme_of(model)
    return {
        target.name: [asdict(finding) for finding in target.examine(path, model).findings]
        for target in registry.usable()
        if scheme in target.inspected_schemes
    }


def snippet(path: StrPath, data: bytes, model: TFLiteModel, metadata: Metadata) -> str | None:
    """Returns Python that runs the model, or None where it is not known how.

    No custom operator is known but the one that ends a detector, which LiteRT brings. A classifier
    is given a photo and names its class, a detector that ends with boxes lists them. What is
    something else prints the shapes of its outputs, for a photo where it takes one, else for zeros.

    Args:
        path: of the file, as the program names it.
        data: its bytes.
        model: what they hold.
        metadata: likewise.
    """
    path = Path(path)
    if set(model.custom_codes) - {POST_PROCESS} or not model.inputs or not model.outputs:
        return None
    image = model.tensors[model.inputs[0]]
    if photo_problem(model):
        return "\n".join([*_IMPORTS, "", *_loaded(path), *_ZEROS, *_SHAPES]) + "\n"
    feed = _feed(image, metadata)
    if feed is None:
        return None
    task = tflite_task(model, metadata)
    if task.map is not None:
        answer = _classes_of_pixels(model, metadata, task)
    elif metadata.task == "embed":
        answer = [*_real(model), "print(scores.shape, scores)  # the embedding"]
    elif task.boxes is not None:
        answer = _found_boxes(model)
    elif not task.name or task.rows is not None:
        answer = list(_SHAPES)
    else:
        answer = [*_real(model), *_named(path, data, model, metadata, task)]
    read_names = ["from zipfile import ZipFile", ""] if "ZipFile" in "".join(answer) else []
    fed = f'model.set_tensor(model.get_input_details()[0]["index"], {feed})'
    lines = [*read_names, *_IMPORTS, "from PIL import Image, ImageOps", ""]
    lines += [
        *_photo(image, metadata, task.name),
        "",
        *_loaded(path),
        fed,
        "model.invoke()",
        *answer,
    ]
    return "\n".join(lines) + "\n"


_IMPORTS = ("import numpy as np", "from ai_edge_litert.interpreter import Interpreter")
_ZEROS = (
    "for source in model.get_input_details():",
    '    zeros = np.zeros(source["shape"], source["dtype"])',
    '    model.set_tensor(source["index"], zeros)',
    "model.invoke()",
)
_SHAPES = (
    "for result in model.get_output_details():",
    '    values = model.get_tensor(result["index"])',
    '    print(result["name"], values.dtype, values.shape)',
)


def _found_boxes(model: TFLiteModel) -> list[str]:
    """Prints the boxes of a detector that ends with them, whatever the order of its outputs."""
    op = find_post_process(model)
    places = [model.outputs.index(index) for index in op.outputs] if op else []
    return [
        "results = model.get_output_details()",
        f'found = [model.get_tensor(results[k]["index"])[0] for k in {places}]',
        "boxes, classes, scores, count = found",
        "for k in range(int(count)):  # top, left, bottom, right in fractions of the input",
        "    print(int(classes[k]), scores[k], boxes[k])",
    ]


def _loaded(path: Path) -> list[str]:
    return [f"model = Interpreter({str(path)!r}, num_threads=2)", "model.allocate_tensors()"]


def _photo(image: Tensor, metadata: Metadata, task: str) -> list[str]:
    height, width = image.shape[1:3]
    how = _preparation(metadata, height, task)
    filter_ = f"Image.Resampling.{how.interpolation.upper()}"
    lines = ['photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")']
    if how.fit == "crop":
        lines += [
            f"side = int({how.crop_fraction} * min(photo.size) + 1e-6)",
            "left, top = (photo.width - side + 1) // 2, (photo.height - side + 1) // 2",
            "box = (left, top, left + side, top + side)",
            f"photo = photo.resize(({width}, {height}), {filter_}, box=box)",
        ]
    elif how.fit == "pad":
        lines += [
            f"scale = {width} / max(photo.size)",
            "across, down = (max(1, round(length * scale)) for length in photo.size)",
            f"part = photo.resize((across, down), {filter_})",
            f'photo = Image.new("RGB", ({width}, {height}), {how.margin})',
            f"photo.paste(part, (({width} - across) // 2, ({height} - down) // 2))",
        ]
    else:
        lines += [f"photo = photo.resize(({width}, {height}), {filter_})"]
    return [*lines, f"pixels = np.asarray(photo)[None]  # uint8 [1, {height}, {width}, 3], RGB"]


def _real(model: TFLiteModel) -> list[str]:
    """The lines that give the first output as real numbers."""
    scores = model.tensors[model.outputs[0]]
    real = "scores.astype(np.float32)"
    if scores.scale is not None:
        real = f"({real} - {scores.zero_point}) * {scores.scale!r}"
    get = 'scores = model.get_tensor(model.get_output_details()[0]["index"]).reshape(-1)'
    return [get, f"scores = {real}"]


def _classes_of_pixels(model: TFLiteModel, metadata: Metadata, task: FileTask) -> list[str]:
    """The lines that print which part of the pixels each class has."""
    names = _fitted(model, metadata, task).names
    get = 'answer = model.get_tensor(model.get_output_details()[0]["index"])[0]'
    best = "classes = answer.argmax(-1)" if task.map and task.map.classes else "classes = answer"
    lines = [get, f"{best}  # of each pixel of the prepared photo"]
    lines.append("for index, count in zip(*np.unique(classes, return_counts=True)):")
    if not names:
        return [*lines, "    print(index, count / classes.size)"]
    return [f"labels = {list(names)!r}", *lines, "    print(labels[index], count / classes.size)"]


def _named(
    path: Path, data: bytes, model: TFLiteModel, metadata: Metadata, task: FileTask
) -> list[str]:
    """The lines that name the best class."""
    labels = _fitted(model, metadata, task)
    best = "best = int(scores.argmax())"
    if not labels.names:
        why = f"  # {_one_line(labels.note)}" if labels.note else ""
        return [best, f"print(best, scores[best]){why}"]
    names = repr(list(labels.names))
    if len(labels.names) > MOST_INLINE_LABELS:
        names = _from_archive(path, data, metadata.labels_file, labels.names) or names
    return [best, f"labels = {names}", "print(labels[best], scores[best])"]


def _from_archive(path: Path, data: bytes, name: str, names: tuple[str, ...]) -> str | None:
    """An expression that reads the names from the file, where a short one gives just them."""
    raw = container.unpack(data).get(name, b"")
    read = f"ZipFile({str(path)!r}).read({name!r}).decode"
    for call, split in (('("utf-8")', _split_lf), ('("utf-8-sig")', _split_any)):
        try:
            found = split(raw)
        except UnicodeDecodeError:
            continue
        first = found.index(names[0]) if names[0] in found else 0
        if tuple(found[first : first + len(names)]) == names:
            part = "" if len(found) == len(names) else f"[{first}:{first + len(names)}]"
            return f"{read}{call}{'.splitlines()' if split is _split_any else _LF}{part}"
    return None


_LF = '.split("\\n")'


def _split_lf(raw: bytes) -> list[str]:
    return raw.decode("utf-8").split("\n")


def _split_any(raw: bytes) -> list[str]:
    return raw.decode("utf-8-sig").splitlines()


def _fitted(model: TFLiteModel, metadata: Metadata, task: FileTask) -> FittedLabels:
    """The labels of a classifier's output, of a segmenter's pixels, or of a detector's places."""
    if task.map is not None:
        fitted = FittedLabels(metadata.labels)
        if task.map.classes is not None:
            fitted = fit_labels(metadata.labels, task.map.classes)
    elif task.rows is not None:
        fitted = fit_labels(metadata.labels, task.rows.columns[-1])
    elif task.boxes is not None:
        fitted = fit_labels(metadata.labels, task.boxes.classes)
    else:
        single = len(model.outputs) == 1
        classes = count_classes(model.tensors[model.outputs[0]]) if single else None
        fitted = FittedLabels() if classes is None else fit_labels(metadata.labels, classes)
    return replace(fitted, note=fitted.note or metadata.labels_problem)


def _one_line(text: str) -> str:
    """Words for a comment, in which no line may end."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _preparation(metadata: Metadata, side: int, task: str) -> Preprocessing:
    """How a photo is prepared, by a record that holds what it should, and no code."""
    try:
        return preparation(metadata, side, task or DEFAULT_TASK)
    except UsageError:
        return preparation(replace(metadata, preprocessing=None), side, task or DEFAULT_TASK)


def _feed(image: Tensor, metadata: Metadata) -> str | None:
    """The expression that turns `pixels` into what the input takes, as `LiteRT` feeds it."""
    if image.dtype == "uint8":
        return "pixels"
    mean, std = list(metadata.mean), list(metadata.std)
    if image.dtype == "float32":
        known = mean and std
        return f"((pixels - np.float32({mean})) / np.float32({std}))" if known else None
    if image.dtype != "int8" or not image.scale:
        return None
    offset = (image.zero_point or 0) - mean[0] if mean else -128.0
    as_bytes = not mean or (len(mean) == 1 and abs(std[0] * image.scale - 1) < 1e-6)
    if as_bytes and offset == -128:
        return "(pixels.astype(np.int16) - 128).astype(np.int8)"
    real = f"(pixels - np.float32({mean})) / np.float32({std})"
    quantized = f"np.rint({real} / {image.scale!r}) + {image.zero_point}"
    return f"np.clip({quantized}, -128, 127).astype(np.int8)"
