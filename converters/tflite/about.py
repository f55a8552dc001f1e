"""What a .tflite file says about itself: class names and preprocessing, in the standard way.

The standard is TensorFlow Lite's: a ModelMetadata flatbuffer in the buffer "TFLITE_METADATA",
and the files that it names in a zip archive behind the model. Whatever reads that standard (the
TFLite Task Library, MediaPipe, Android Studio) finds the labels and feeds the right numbers.
`edgekit.converters.tflite.metadata` reads it back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.converters.segmenter import MapEnd, map_of
from edgekit.converters.tflite import metadata_schema as fields
from edgekit.converters.tflite.boxes_metadata import found_boxes, raw_boxes
from edgekit.converters.tflite.detections import OUTPUTS as BOXES_OUTPUTS
from edgekit.converters.tflite.file import Tensor
from edgekit.converters.tflite.metadata import COLORS_FILE, LABELS_FILE, RECORD_FILE
from edgekit.data.palette import class_colors
from edgekit.errors import UsageError
from edgekit.networks.detection.outputs import centers_of

if TYPE_CHECKING:
    from edgekit.data.preprocessing import Preprocessing
    from edgekit.tasks.task import Output


@dataclass(frozen=True, kw_only=True)
class About:
    """What is written into a file beside the network.

    Attributes:
        name: what readers show as the model's name.
        description: what readers show below it.
        labels: one name per class, in the order of the output; none without a head.
        outputs: name and description of each.
        preprocessing: how a photo becomes normalised values. What is stored is the record of the
            model's own input (`Preprocessing.of_input`).
        author: who made the model; left out when empty.
        license: under what it may be used; left out when empty.
    """

    name: str
    description: str
    labels: Sequence[str]
    preprocessing: Preprocessing
    outputs: Sequence[Output]
    author: str = ""
    license: str = ""


@dataclass(frozen=True)
class Parts:
    """What `describe` gives.

    Attributes:
        metadata: contents of the buffer TFLITE_METADATA.
        files: by name, for the archive behind the model.
    """

    metadata: bytes
    files: Mapping[str, bytes]


def describe(about: About, image: Tensor, outputs: Sequence[Tensor]) -> Parts:
    """Puts into the standard's words what a file is about; the same on every call.

    The normalization is that of the model's own input. A float32 input takes
    (pixel - mean) / std of the preprocessing. A quantized input has the preprocessing folded in
    and takes the pixels' bytes, so mean and std are the ones that its scale and zero point undo:
    ``mean = zero_point + low, std = 1 / scale`` with ``low`` 0 for uint8 and 128 for int8.

    Args:
        about: what to say.
        image: the file's input, NHWC.
        outputs: those of the file: a score per class, an embedding, or a map of either scores or
            classes; or several, the last of which has the scores; or those of TFLite's detection
            operator. Of a detector's, readers know the names, whatever ``about`` calls them.

    Raises:
        UsageError: the input is no image, or the labels do not fit the output.
    """
    if len(image.shape) != 4 or image.shape[3] != 3:
        raise UsageError(
            "the model is not an image classifier",
            cause=f"its input is {list(image.shape)}, not [1, height, width, 3]",
        )
    found = _map_of(outputs)
    said = _said_of(about, image, outputs, found)
    table = {
        "name": about.name,
        "description": about.description,
        "subgraph_metadata": [
            {"input_tensor_metadata": [_input(image, about.preprocessing)], **said}
        ],
        **({"author": about.author} if about.author else {}),
        **({"license": about.license} if about.license else {}),
        "associated_files": [
            {"name": RECORD_FILE, "description": "How edgekit prepares a photo for this model."}
        ],
        "min_parser_version": fields.parser_version(said),
    }
    own = about.preprocessing.of_input(image.dtype)
    record = {"schema_version": 1, "preprocessing": own.to_dict()}
    files = {RECORD_FILE: json.dumps(record, indent=1, sort_keys=True).encode()}
    if about.labels:
        files = {LABELS_FILE: "\n".join(about.labels).encode(), **files}
    if about.labels and found is not None:
        files[COLORS_FILE] = colors_text(about.labels).encode()
    return Parts(fields.encode(table), files)


def _map_of(outputs: Sequence[Tensor]) -> MapEnd | None:
    if len(outputs) != 1:
        return None
    return map_of(outputs[0], quantized=outputs[0].scale is not None)


def _said_of(
    about: About, image: Tensor, outputs: Sequence[Tensor], found: MapEnd | None
) -> dict[str, Any]:
    """The outputs' part of a SubGraphMetadata."""
    scores, labels = outputs[-1], LABELS_FILE if about.labels else ""
    if tuple(tensor.name for tensor in outputs) == BOXES_OUTPUTS:
        _check_lines(about.labels)
        return found_boxes(labels)
    if found is not None:
        _check_class_names(about.labels, found)
        custom = _custom(found)
        said = {"output_tensor_metadata": [_map_output(scores, about, found)]}
        return said | ({"custom_metadata": custom} if custom else {})
    _check_labels(about.labels, scores)
    if about.preprocessing.anchors is not None and len(outputs) == 2:
        anchors = centers_of(about.preprocessing.anchors, *image.shape[1:3])
        return raw_boxes(labels, anchors, scores.shape[-1])
    pairs = zip(outputs, about.outputs, strict=True)
    return {
        "output_tensor_metadata": [
            _output(tensor, words, about.labels if tensor is scores else ())
            for tensor, words in pairs
        ]
    }


def colors_text(labels: Sequence[str]) -> str:
    """A line for each class: the colour in which readers draw it, as #rrggbb, and its name.

    The colours are those that the Task Library itself gives to the classes of any segmenter
    (``kColorMap`` of its image_segmenter.cc), Pascal VOC's.
    """
    colors = class_colors(len(labels)).tolist()
    pairs = zip(colors, labels, strict=True)
    return "\n".join(f"#{r:02x}{g:02x}{b:02x} {label}" for (r, g, b), label in pairs)


def _check_class_names(labels: Sequence[str], found: MapEnd) -> None:
    if labels and found.classes is not None and len(labels) != found.classes:
        raise UsageError(
            "the labels do not fit the model",
            cause=f"{len(labels)} labels for {found}",
        )
    _check_lines(labels)


def _check_labels(labels: Sequence[str], scores: Tensor) -> None:
    if not scores.shape or (labels and len(labels) != scores.shape[-1]):
        raise UsageError(
            "the labels do not fit the model",
            cause=f"{len(labels)} labels for an output of {list(scores.shape)}",
        )
    _check_lines(labels)


def _check_lines(labels: Sequence[str]) -> None:
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
            "the model's input cannot be described",
            cause=f"it is {image.dtype}: readers feed float32, or the bytes of a photo",
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


def _map_output(scores: Tensor, about: About, found: MapEnd) -> dict[str, Any]:
    """A map, as the Task Library's writer for image segmenters describes it.

    The labels are those of its last axis, or, where a pixel has its class, of its values; the
    image is what its rows and columns are.
    """
    table = _output(scores, about.outputs[0], ())
    table["content"] = {
        "content_properties_type": fields.IMAGE_PROPERTIES,
        "content_properties": {
            "color_space": fields.GRAYSCALE,
            "default_size": {"width": found.width, "height": found.height},
        },
        "range": {"min": 1, "max": 2},
    }
    if about.labels:
        kind = fields.TENSOR_VALUE_LABELS if found.classes is None else fields.TENSOR_AXIS_LABELS
        table["associated_files"] = [
            {"name": LABELS_FILE, "description": "Class names, class 0 first.", "type": kind},
            {
                "name": COLORS_FILE,
                "description": "The colour of each class, #rrggbb, and its name.",
                "type": fields.DESCRIPTIONS,
            },
        ]
    return table


def _custom(found: MapEnd) -> list[dict[str, Any]]:
    """For MediaPipe, that a softmax makes probabilities of logits; of classes nothing does."""
    return [] if found.classes is None else [fields.segmenter_options("softmax")]


def _output(scores: Tensor, said: Output, labels: Sequence[str]) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": said.name,
        "description": said.description,
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
