"""The operator that turns a detector's outputs into boxes: its options in a .tflite file."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.converters.tflite.values import Value
from edgekit.errors import UsageError
from edgekit.networks.detection.postprocess import PostProcess
from edgekit.networks.nodes import DetectionPostProcess, Shape

#: The custom operator's name; those of its four outputs, in its order, as TensorFlow's own
#: exporter of detectors names them; and what each holds.
POST_PROCESS = "TFLite_Detection_PostProcess"
OUTPUTS = (POST_PROCESS, *(f"{POST_PROCESS}:{number}" for number in (1, 2, 3)))
BOXES, CLASSES, SCORES, COUNT = range(4)
#: What a signature calls them: what is known of TensorFlow's converter since 2.6, by which
#: ``pycoral.adapters.detect`` finds them.
SIGNATURE = ("output_3", "output_2", "output_1", "output_0")
#: By the scales' order in `PostProcess`.
_SCALES = ("y_scale", "x_scale", "h_scale", "w_scale")
_MALFORMED = (struct.error, IndexError, ValueError, TypeError, OverflowError, KeyError)


def outputs_of(node: DetectionPostProcess) -> tuple[Value, ...]:
    """The four tensors that the operator writes, in its order."""
    most = node.max_detections
    shapes = ((1, most, 4), (1, most), (1, most), (1,))
    pairs = zip(OUTPUTS, shapes, strict=True)
    return tuple(Value(name=name, shape=shape, dtype="float32") for name, shape in pairs)


def output_shapes(op: Operator) -> dict[int, Shape]:
    """The shapes of the operator's outputs by tensor index: a file need not have them."""
    options = read_options(op)
    most = options.max_detections * options.max_classes_per_detection
    return dict(zip(op.outputs, ((1, most, 4), (1, most), (1, most), (1,)), strict=True))


def encode_options(options: PostProcess) -> bytes:
    """The operator's options as it reads them: a FlexBuffer with a map."""
    numbers: dict[str, int | float] = {
        "max_detections": options.max_detections,
        "max_classes_per_detection": options.max_classes_per_detection,
        "num_classes": options.num_classes,
        "nms_score_threshold": options.nms_score_threshold,
        "nms_iou_threshold": options.nms_iou_threshold,
        **dict(zip(_SCALES, options.scales, strict=True)),
        "use_regular_nms": int(options.use_regular_nms),
    }
    if options.use_regular_nms:
        numbers["detections_per_class"] = options.detections_per_class
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, number in numbers.items():
            if isinstance(number, int):
                builder.Int(name, number)
            else:
                builder.Float(name, float(np.float32(number)))
    return bytes(builder.Finish())


def read_options(op: Operator) -> PostProcess:
    """The options of such an operator; what is absent is 0, as for the kernel.

    Raises:
        UsageError: they are damaged.
    """
    try:
        table = flexbuffers.GetRoot(bytes(op.custom_options)).AsMap

        def found(name: str) -> Any:
            try:
                return table[name]
            except KeyError:
                return None

        def whole(name: str, default: int = 0) -> int:
            value = found(name)
            return default if value is None or value.IsNull else int(value.AsInt)

        def real(name: str) -> float:
            value = found(name)
            return 0.0 if value is None else float(value.AsFloat)

        y, x, height, width = (real(name) for name in _SCALES)
        return PostProcess(
            num_classes=whole("num_classes"),
            max_detections=whole("max_detections"),
            max_classes_per_detection=whole("max_classes_per_detection"),
            detections_per_class=whole("detections_per_class", 100),
            nms_score_threshold=real("nms_score_threshold"),
            nms_iou_threshold=real("nms_iou_threshold"),
            use_regular_nms=bool(whole("use_regular_nms")),
            scales=(y, x, height, width),
        )
    except _MALFORMED as error:
        raise UsageError(
            f"the options of operator {op.index} {op.name} are damaged", cause=str(error)
        ) from error


def find_post_process(model: TFLiteModel) -> Operator | None:
    """The operator whose outputs are a detector's answers; None where a file has none."""
    found = [op for op in model.operators if op.is_custom and op.name == POST_PROCESS]
    complete = len(found) == 1 and len(found[0].inputs) == 3 and len(found[0].outputs) == 4
    return found[0] if complete and {*found[0].outputs} <= {*model.outputs} else None


def loses_a_class(model: TFLiteModel) -> bool:
    """Whether several threads of TFLite leave out a class of a detector's answers.

    Where each class is suppressed alone, n threads begin with the first n classes, and go on with
    class n + 1 (``++next_col`` in lite/kernels/detection_postprocess.cc, from TensorFlow 2.8 to
    LiteRT 2.3).
    """
    op = find_post_process(model)
    if op is None:
        return False
    options = read_options(op)
    return options.use_regular_nms and options.num_classes > 2
