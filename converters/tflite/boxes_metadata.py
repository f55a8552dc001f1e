"""What a detector's .tflite file says of its outputs, for the readers of TFLite's standard.

The Task Library takes files with the four outputs of TFLite's detection operator alone
(``object_detector.cc`` in tensorflow/tflite-support), MediaPipe these or offsets and scores
(``detection_postprocessing_graph.cc`` in google-ai-edge/mediapipe), which it decodes with the
anchors that it finds in the file. Both know the outputs by the names used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.converters.tflite import metadata_schema as fields
from edgekit.networks.detection.postprocess import Floats

LOCATION, CATEGORY, SCORE, NUMBER = "location", "category", "score", "number of detections"
#: Where left, top, right and bottom are among top, left, bottom and right.
ORDER = (1, 0, 3, 2)
#: An entry of a tensor is a box, a class or a score: what is behind the second size is its own.
_EACH = {"min": 2, "max": 2}


def found_boxes(labels: str) -> dict[str, Any]:
    """What a SubGraphMetadata says of the operator's four outputs, in the operator's order.

    Args:
        labels: the packed file of the class names, in which the classes are line numbers; empty
            where there is none.
    """
    place = {"index": list(ORDER), "type": fields.BOUNDARIES}
    tensors = [
        _tensor(LOCATION, "Boxes as fractions of the photo: top, left, bottom, right.", place),
        _tensor(CATEGORY, "The class of each box."),
        _tensor(SCORE, "The score of each box, between 0 and 1."),
        _tensor(NUMBER, "How many boxes there are."),
    ]
    for tensor in tensors[:-1]:
        tensor["content"]["range"] = dict(_EACH)
    tensors[2]["stats"] = {"max": [1.0], "min": [0.0]}
    if labels:
        tensors[1]["associated_files"] = [_labels(labels, fields.TENSOR_VALUE_LABELS)]
    group = {"name": "detection_result", "tensor_names": [LOCATION, CATEGORY, SCORE]}
    return {"output_tensor_metadata": tensors, "output_tensor_groups": [group]}


def raw_boxes(labels: str, anchors: Floats, classes: int) -> dict[str, Any]:
    """What a SubGraphMetadata says of offsets from anchors and of logits, in this order.

    Args:
        labels: the packed file of the class names, in the order of the logits; empty where there is
            none.
        anchors: float32 [n, 4]: centre y, centre x, height, width, in fractions of the input.
        classes: logits at each anchor.
    """
    place = {"type": fields.BOUNDARIES}
    tensors = [
        _tensor(LOCATION, "Boxes relative to the anchors: y, x, height, width.", place),
        _tensor(SCORE, "A logit per class for each anchor."),
    ]
    if labels:
        tensors[1]["associated_files"] = [_labels(labels, fields.TENSOR_AXIS_LABELS)]
    decoding = {
        "num_classes": classes,
        "num_boxes": len(anchors),
        "num_coords": 4,
        "num_values_per_keypoint": 2,  # of none: MediaPipe ends the program over any other number
        **{f"{side}_scale": 1.0 for side in "xywh"},
        "apply_exponential_on_box_size": True,
        "sigmoid_score": True,
    }
    boxes = np.ascontiguousarray(anchors[:, [1, 0, 3, 2]], np.float32)
    options = {
        "ssd_anchors_options": {"fixed_anchors_schema": {"anchors": boxes}},
        "tensors_decoding_options": decoding,
    }
    return {
        "output_tensor_metadata": tensors,
        "custom_metadata": [fields.custom(fields.DETECTOR, options)],
    }


def _tensor(name: str, description: str, place: dict[str, Any] | None = None) -> dict[str, Any]:
    kind = fields.FEATURE_PROPERTIES if place is None else fields.BOUNDING_BOX_PROPERTIES
    content = {"content_properties_type": kind, "content_properties": place or {}}
    return {"name": name, "description": description, "content": content}


def _labels(name: str, kind: int) -> dict[str, Any]:
    return {"name": name, "description": "Class names, class 0 first.", "type": kind}


def output_order(tensors: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    """Which outputs are location, category, score and number, by their names, as readers find them.

    Args:
        tensors: TensorMetadata of the file's outputs.

    Returns:
        Indices in that order: of four outputs all, of two location and score. The order of the
        outputs themselves where a name is missing. Empty for any other number.
    """
    wanted = {4: (LOCATION, CATEGORY, SCORE, NUMBER), 2: (LOCATION, SCORE)}.get(len(tensors), ())
    names = [str(tensor.get("name", "")) for tensor in tensors]
    if set(wanted) <= set(names):
        return tuple(names.index(name) for name in wanted)
    return tuple(range(len(wanted)))


def anchors_in(graph: dict[str, Any]) -> Floats | None:
    """The anchors that MediaPipe finds in a SubGraphMetadata; None where there are none.

    Returns:
        float32 [n, 4]: centre y, centre x, height, width.

    Raises:
        ValueError: they are damaged.
    """
    options = fields.find_custom(graph, fields.DETECTOR) or {}
    schema = options.get("ssd_anchors_options", {}).get("fixed_anchors_schema", {})
    names = ("y_center", "x_center", "height", "width")
    rows = [[anchor.get(name, 0.0) for name in names] for anchor in schema.get("anchors", [])]
    return np.array(rows, np.float32) if rows else None
