"""Files as other tools write them: what lies in ``foreign``, and small ones made by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from described import attach
from tiny_tflite import TinyModel, schema

from edgekit.converters.tflite import container
from edgekit.converters.tflite import metadata_schema as fields

FOREIGN = Path(__file__).with_name("foreign")
GREEN = FOREIGN / "green.png"


def reshaped(*shape: int) -> TinyModel:
    """The tiny model with its five scores in another shape."""
    tiny = TinyModel()
    tiny.add("shape", None, "INT32", 0, 0, np.array(shape, np.int32))
    tiny.add("out", list(shape), "UINT8", 0.2, 131)
    options = {"newShape": list(shape)}
    tiny.add_op("RESHAPE", 1, ["scores", "shape"], "out", "ReshapeOptions", **options)
    tiny.graph.outputs = [tiny.index("out")]
    return tiny


def ending_in(*names: str) -> TinyModel:
    """The tiny model with other tensors as its outputs."""
    tiny = TinyModel()
    tiny.graph.outputs = [tiny.index(name) for name in names]
    return tiny


def depth() -> TinyModel:
    """The tiny model with one number at each pixel, as of a depth: nothing that has classes."""
    tiny = TinyModel()
    tiny.add("channels", None, "INT32", 0, 0, np.array([3], np.int32))
    tiny.add("distance", [1, 4, 4, 1], "INT8", 6 / 255, -128)
    tiny.add_op("MEAN", 2, ["gated", "channels"], "distance", "ReducerOptions", keepDims=True)
    tiny.graph.outputs = [tiny.index("distance")]
    return tiny


def arg_max() -> TinyModel:
    """The tiny model, answering with the number of the class."""
    tiny = TinyModel()
    tiny.add("axis", None, "INT32", 0, 0, np.array(1, np.int32))
    tiny.add("best", [1], "INT64", 0, 0)
    kind = {"outputType": schema.TensorType.INT64}
    tiny.add_op("ARG_MAX", 2, ["logits", "axis"], "best", "ArgMaxOptions", **kind)
    tiny.graph.outputs = [tiny.index("best")]
    return tiny


def activated(name: str, scale: float = 1 / 256, zero_point: int = -128) -> TinyModel:
    """The tiny model with a last operator such as SOFTMAX."""
    tiny = TinyModel()
    tiny.add("activated", [1, 5], "INT8", scale, zero_point)
    softmax = {"options": "SoftmaxOptions", "beta": 1.0} if name == "SOFTMAX" else {}
    tiny.add_op(name, 2, ["logits"], "activated", **softmax)
    tiny.graph.outputs = [tiny.index("activated")]
    return tiny


def input_shape(*shape: int) -> TinyModel:
    """The tiny model with an input of another shape."""
    tiny = TinyModel()
    tiny.tensor("image").shape = list(shape)
    return tiny


def output_shape(*shape: int) -> TinyModel:
    """The tiny model with an output that is said to have another shape."""
    tiny = TinyModel()
    tiny.tensor("scores").shape = list(shape)
    return tiny


def custom(code: str) -> TinyModel:
    """The tiny model with a custom operator at its end."""
    tiny = TinyModel()
    tiny.add("extra", [1, 5], "FLOAT32", 0, 0)
    tiny.add_op("CUSTOM", 1, ["scores"], "extra")
    tiny.code("CUSTOM").customCode = code.encode()
    tiny.graph.outputs = [tiny.index("extra")]
    return tiny


def with_files(
    model: bytes, files: Mapping[str, bytes], labels: Sequence[dict[str, Any]] = (), **output: Any
) -> bytes:
    """A model with files behind it, and with metadata that name the label files among them.

    Args:
        model: a .tflite file's bytes.
        files: by name.
        labels: AssociatedFile tables of the output, without their type.
        output: further fields of the output's table.
    """
    kind = {"type": fields.TENSOR_AXIS_LABELS}
    table = {"associated_files": [item | kind for item in labels], **output}
    metadata = {"subgraph_metadata": [{"output_tensor_metadata": [table]}]}
    flat = attach(model, fields.encode(metadata))
    return container.pack(flat, dict(files))


def labelled(content: bytes, model: bytes | None = None) -> bytes:
    """The tiny model with one label file."""
    data = TinyModel().pack() if model is None else model
    return with_files(data, {"l.txt": content}, [{"name": "l.txt"}])


def zipped(model: bytes, **files: bytes) -> bytes:
    """A model with files behind it and no metadata, as Ultralytics packs its table."""
    out = io.BytesIO(model)
    with zipfile.ZipFile(out, "a") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return out.getvalue()
