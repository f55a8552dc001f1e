"""Whether a model file is a segmenter, and what the map is that it answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.converters.classifier import (
    SCORE_TYPES,
    End,
    inputs_problem,
    photo_problem,
    sides_of,
)

if TYPE_CHECKING:
    from edgekit.converters.onnx.file import OnnxModel
    from edgekit.converters.openvino.file import IRModel
    from edgekit.converters.tflite.file import TFLiteModel
    from edgekit.converters.tflite.metadata import Metadata

CLASS_TYPES = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "u8", "i32", "i64")
#: Words of exporters for what a segmenter does, and of the records that say nothing of it.
_SEGMENTS = (
    *("", "segment", "segmentation", "semantic", "semantic_segmentation"),
    *("image_segmentation", "image-segmentation"),
)
#: Of a mask; 255 is no class in it.
MOST_CLASSES = 255


@dataclass(frozen=True)
class MapEnd:
    """An output that says something of each pixel.

    Attributes:
        height: rows of the map.
        width: columns of it.
        classes: numbers at each pixel, or None where it has the class itself.
    """

    height: int
    width: int
    classes: int | None

    @property
    def kind(self) -> str:
        """What a pixel has: ``logits`` or ``classes``."""
        return "classes" if self.classes is None else "logits"

    def __str__(self) -> str:
        what = "the class" if self.classes is None else f"{self.classes} numbers"
        return f"{what} at each of {self.height} x {self.width} pixels"


def map_of(output: End, *, channels_first: bool = False, quantized: bool = False) -> MapEnd | None:
    """What a file's output is where it is a map; None where it is none.

    A map of scores has four sizes, one of classes three, or four with a 1. Numbers of a map with
    as many columns as other outputs have scores, such as a style or a depth, look the same: it is
    their own words that tell them apart.

    Args:
        output: of the file.
        channels_first: whether its maps are NCHW.
        quantized: whether its integers stand for reals.
    """
    batch, *others = output.shape or (0,)
    rest = [size for size in others if isinstance(size, int) and size > 0]
    is_one = batch == 1 or isinstance(batch, str) or batch < 0
    if not is_one or len(rest) != len(others) or len(rest) not in (2, 3):
        return None
    channels = rest.pop(0 if channels_first else 2) if len(rest) == 3 else 1
    height, width = rest
    if min(height, width) < 2:
        return None
    if channels == 1:
        whole = output.dtype in CLASS_TYPES and not quantized
        return MapEnd(height, width, None) if whole else None
    is_scores = output.dtype in SCORE_TYPES or output.dtype in ("f32", "f16")
    return MapEnd(height, width, channels) if is_scores and channels <= MOST_CLASSES else None


def tflite_map(model: TFLiteModel, metadata: Metadata) -> MapEnd | None:
    """The map that a .tflite segmenter answers with; None of anything else."""
    if photo_problem(model) or len(model.outputs) != 1:
        return None
    output = model.tensors[model.outputs[0]]
    found = map_of(output, quantized=output.scale is not None)
    said = _said((metadata.preprocessing or {}).get("task"), metadata.task)
    image = model.tensors[model.inputs[0]].shape[1:3]
    return found if found and _segments(said) and _is_like(found, image) else None


def onnx_map(model: OnnxModel) -> MapEnd | None:
    """The map that a .onnx segmenter answers with; None of anything else."""
    return _map((model.preprocessing or {}).get("task"), model.task, model.inputs, model.outputs)


def openvino_map(model: IRModel) -> MapEnd | None:
    """The map that an OpenVINO segmenter answers with; None of anything else."""
    record = model.preprocessing
    task = record.task if record else None
    return _map(task, model.model_type.lower(), model.inputs, model.outputs)


def _map(
    task: str | None, word: str, inputs: Sequence[End], outputs: Sequence[End]
) -> MapEnd | None:
    if inputs_problem(inputs) or len(outputs) != 1 or not _segments(_said(task, word)):
        return None
    sides = tuple(size for size in sides_of(inputs[0]) if isinstance(size, int))
    found = map_of(outputs[0], channels_first=True)
    return found if found and _is_like(found, sides) else None


def _said(task: str | None, word: str) -> str:
    """The task in a file's own words: its record's, else its exporter's."""
    return (task or word).lower()


def _segments(word: str) -> bool:
    return word in _SEGMENTS


def _is_like(found: MapEnd, image: Sequence[int]) -> bool:
    """Whether a map has the proportions of the photo, and is not larger; DeepLab's has 1/16."""
    if len(image) != 2:
        return True
    height, width = image
    fits = found.height <= height and found.width <= width
    return fits and abs(found.height * width - found.width * height) <= max(height, width)
