"""Says what a .tflite file is: types, operators, labels, preprocessing, and what is wrong."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.converters import tflite_file
from edgekit.converters.tflite_checks import check_int8, check_mixed
from edgekit.converters.tflite_file import Tensor, TFLiteModel
from edgekit.converters.tflite_metadata import Metadata, read_metadata
from edgekit.converters.tflite_op_versions import OP_VERSIONS_TF_2_5
from edgekit.errors import UsageError
from edgekit.preprocessing import Preprocessing

SCHEMA_VERSION = 1
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_BORDERS = ("QUANTIZE", "DEQUANTIZE")
_SCHEMES = {  # by the types of an operator's input and weights
    ("int8", "int8"): "w8a8-static",
    ("uint8", "uint8"): "w8a8-static-uint8",
    ("int16", "int8"): "w8a16-static",
    ("float32", "int8"): "w8-dynamic",
    ("float32", "float32"): "fp32",
}


def inspect_file(path: str | Path) -> dict[str, Any]:
    """Describes a .tflite file as JSON values.

    Returns:
        ``schema_version``, ``path``, ``size_bytes``, ``sha256``, ``scheme``, ``inputs`` and
        ``outputs`` (name, shape, dtype, scale, zero_point), ``operators`` (name, version, count,
        newest_in_tf_2_5), ``metadata``, ``findings`` by target, ``edgetpu`` (of a compiled model
        what `edgekit.targets.edgetpu_compiled.describe_compiled` finds, else None), and
        ``snippet``: Python that runs the model on a photo, or None where the model is no image
        classifier.

    Raises:
        UsageError: the file cannot be read, is not TFLite, or is damaged.
    """
    from edgekit.targets.edgetpu_compiled import describe_compiled

    path = Path(path)
    data = tflite_file.read_bytes(path)
    model = tflite_file.parse(data, name=str(path))
    metadata = read_metadata(data)
    counts = Counter((op.name, op.version) for op in model.operators)
    return {
        "schema_version": SCHEMA_VERSION,
        "path": str(path),
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "description": model.description,
        "scheme": scheme(model),
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
        "findings": _findings(model),
        "edgetpu": describe_compiled(model),
        "snippet": snippet(path, model, metadata),
    }


def scheme(model: TFLiteModel) -> str:
    """Names the quantization, as the file itself shows it; "mixed" where operators differ."""
    if "edgetpu-custom-op" in model.custom_codes:
        return "edgetpu-compiled"
    if any(t.is_constant and t.dtype == "float16" for t in model.tensors):
        return "fp16"
    found = {
        _SCHEMES.get(
            (model.tensors[op.inputs[0]].dtype, model.tensors[op.inputs[1]].dtype), "mixed"
        )
        for op in model.operators
        if op.name in _WEIGHTED and len(op.inputs) > 1
    }
    if found == {"w8-dynamic", "fp32"}:  # the converter leaves kernels below 1024 weights float
        return "w8-dynamic"
    computing = (op for op in model.operators if op.name not in _BORDERS)
    inside = {model.tensors[i].dtype for op in computing for i in op.outputs}
    if found and found <= {"w8a8-static", "fp32"} and inside >= {"int8", "float32"}:
        return "mixed"  # also where no operator with weights shows it
    return found.pop() if len(found) == 1 else "mixed" if found else "unknown"


def _end(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _findings(model: TFLiteModel) -> dict[str, list[dict[str, str]]]:
    """What the targets of 8-bit models say; nothing of a model that is meant for none of them."""
    from edgekit.targets.edgetpu_rules import check_edgetpu

    checks = {
        "w8a8-static": {"tflite": check_int8, "edgetpu": check_edgetpu},
        "w8a8-static-uint8": {"edgetpu": check_edgetpu},
        "mixed": {"tflite": check_mixed, "edgetpu": check_edgetpu},
    }.get(scheme(model), {})
    return {name: [asdict(finding) for finding in check(model)] for name, check in checks.items()}


def snippet(path: Path, model: TFLiteModel, metadata: Metadata) -> str | None:
    """Returns Python that classifies a photo with the model, or None for no image classifier."""
    if len(model.inputs) != 1 or not model.outputs or model.custom_codes:
        return None
    image, scores = model.tensors[model.inputs[0]], model.tensors[model.outputs[0]]
    feed = _feed(image, metadata)
    if feed is None:
        return None
    height, width = image.shape[1:3]
    crop, interpolation = _crop(metadata)
    real = "scores.astype(np.float32)"
    if scores.scale is not None:
        real = f"({real} - {scores.zero_point}) * {scores.scale!r}"
    many = len(metadata.labels) > 20
    labels = repr(list(metadata.labels))
    if many:
        labels = f'ZipFile({str(path)!r}).read({metadata.labels_file!r}).decode().split("\\n")'
    lines = [
        *(["from zipfile import ZipFile", ""] if many else []),
        "import numpy as np",
        "from ai_edge_litert.interpreter import Interpreter",
        "from PIL import Image, ImageOps",
        "",
        'photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")',
        f"side = int({crop} * min(photo.size) + 1e-6)",
        "left, top = (photo.width - side + 1) // 2, (photo.height - side + 1) // 2",
        "box = (left, top, left + side, top + side)",
        f"photo = photo.resize(({width}, {height}), Image.Resampling.{interpolation}, box=box)",
        f"pixels = np.asarray(photo)[None]  # uint8 [1, {height}, {width}, 3], RGB",
        "",
        f"model = Interpreter({str(path)!r}, num_threads=2)",
        "model.allocate_tensors()",
        f'model.set_tensor(model.get_input_details()[0]["index"], {feed})',
        "model.invoke()",
        'scores = model.get_tensor(model.get_output_details()[0]["index"])[0]',
        f"scores = {real}",
        *_answer(labels if metadata.labels else None, metadata.output),
    ]
    return "\n".join(lines) + "\n"


def _answer(labels: str | None, output: str) -> list[str]:
    """The last lines: what the output means."""
    if output == "embedding":
        return ["print(scores.shape, scores)  # the embedding"]
    return [
        "best = int(scores.argmax())",
        *([f"labels = {labels}"] if labels else []),
        f"print({'labels[best]' if labels else 'best'}, scores[best])",
    ]


def _crop(metadata: Metadata) -> tuple[float, str]:
    """The centre crop and PIL's filter, from a record that holds what it should, and no code."""
    try:
        record = Preprocessing.from_dict(metadata.preprocessing or {})
    except UsageError:
        return 1.0, "BILINEAR"
    return record.crop_fraction, record.interpolation.upper()


def _feed(image: Tensor, metadata: Metadata) -> str | None:
    """The expression that turns `pixels` into what the input takes, as `LiteRT` feeds it."""
    if len(image.shape) != 4 or image.shape[3] != 3 or min(image.shape) < 1:
        return None
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
