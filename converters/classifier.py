"""Whether a model file is an image classifier, and what the numbers that it answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.converters.onnx.file import OnnxModel
    from edgekit.converters.openvino.file import IRModel
    from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel
    from edgekit.converters.tflite.metadata import Metadata

LOGIT, PROBABILITY = "logit", "probability"
SCORE_TYPES = ("float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16")
#: Custom operators that say what a network is (tensorflow/lite/kernels/custom_ops_register.h,
#: google-coral/edgetpu, google-ai-edge/mediapipe).
_CUSTOM = {
    "TFLite_Detection_PostProcess": "a detector",
    "PosenetDecoderOp": "a pose network",
    "Convolution2DTransposeBias": "a segmenter",
    "MaxPoolingWithArgmax2D": "a segmenter",
    "MaxUnpooling2D": "a segmenter",
}
_CLASSIFIES = ("", "classify", "classification", "image_classification", "image-classification")
#: The words of OpenVINO's Model API for networks that are something else ("YOLO" may be any).
_OTHER_MODELS = ("ssd", "maskrcnn", "segmentation", "rotated_detection", "keypoint_detection")
_UNCHANGED = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "CAST")
_PROBABLE = {"SOFTMAX": PROBABILITY, "LOGISTIC": PROBABILITY, "LOG_SOFTMAX": LOGIT}
#: A softmax in float16 or in steps of 1/256 is off by less, summed over a thousand classes.
_SUM_TOLERANCE = 0.02


class End(Protocol):
    """An output of a file of any kind.

    Attributes:
        shape: a size that only the run decides is negative or a word; None: nothing is known.
        dtype: a numpy name, or the format's own in lower case.
    """

    @property
    def shape(self) -> tuple[int | str, ...] | tuple[int, ...] | None: ...
    @property
    def dtype(self) -> str: ...


def refuse(path: object, problem: str | None) -> None:
    """Raises UsageError where there is a problem: the file is no image classifier."""
    if problem is not None:
        raise UsageError(
            f"{path} is not an image classifier",
            cause=problem,
            hint=f"edgekit inspect {path}",
        )


def photo_problem(model: TFLiteModel) -> str | None:
    """Why a .tflite file does not take one photo and give something for it; None where it does."""
    shapes = [model.tensors[index].shape for index in model.inputs]
    if len(shapes) != 1 or not is_photo(shapes[0]):
        given = ", ".join(str(list(shape)) for shape in shapes) or "nothing"
        return f"it takes {given}, not one photo [1, height, width, 3]"
    return None if model.outputs else "it has no output"


def is_photo(shape: Sequence[int]) -> bool:
    """Whether an input of this shape takes one RGB photo."""
    return len(shape) == 4 and (shape[0], shape[3]) == (1, 3) and min(shape) > 0


def tflite_problem(model: TFLiteModel, metadata: Metadata) -> str | None:
    """Why a .tflite file is no classifier: by its ends, its operators or its own words."""
    problem = photo_problem(model)
    if problem:
        return problem
    for code in model.custom_codes:
        if code in _CUSTOM:
            return f"its operator {code} is that of {_CUSTOM[code]}"
    outputs = [model.tensors[index] for index in model.outputs]
    return outputs_problem(outputs) or _task_problem(metadata.task)


def onnx_problem(model: OnnxModel) -> str | None:
    """Why a .onnx file is no classifier: by its ends or its own words."""
    problem = inputs_problem(model.inputs) or outputs_problem(model.outputs)
    return problem or _task_problem(model.task)


def openvino_problem(model: IRModel) -> str | None:
    """Why an OpenVINO file is no classifier: by its ends or its own words."""
    task = model.model_type if model.model_type.lower() in _OTHER_MODELS else ""
    problem = inputs_problem(model.inputs) or outputs_problem(model.outputs)
    return problem or _task_problem(task)


def inputs_problem(inputs: Sequence[End]) -> str | None:
    """Why these are not the inputs of what takes one photo, its channels second or last."""
    if len(inputs) != 1:
        return f"it has {len(inputs)} inputs"
    shape = inputs[0].shape or ()
    is_one = bool(shape) and (shape[0] == 1 or _is_open(shape[0]))
    if len(shape) != 4 or not is_one or 3 not in (shape[1], shape[3]):
        return (
            f"its input is {_words(inputs[0])}, neither [1, 3, height, width] nor "
            "[1, height, width, 3]"
        )
    return None


def sides_of(image: End) -> tuple[int | str, ...]:
    """Height and width of an input that `inputs_problem` accepts, as the file has them."""
    shape = image.shape or ()
    return tuple(shape[2:] if shape[1] == 3 else shape[1:3])


def outputs_problem(outputs: Sequence[End]) -> str | None:
    """Why these are not the outputs of a classifier, which has one, with one size above 1.

    Returns:
        The cause in words. None for a classifier's, and where only a run can show it.
    """
    if len(outputs) != 1:
        shapes = ", ".join(map(_words, outputs[:4]))
        more = ", …" if len(outputs) > 4 else ""
        return f"it has {len(outputs)} outputs: {shapes}{more}"
    output = outputs[0]
    if output.dtype not in SCORE_TYPES:
        return f"its output is {output.dtype} {_words(output)}, not scores of classes"
    if output.shape is None:
        return None
    sizes = _sizes(output.shape)
    if not sizes:
        return f"its output {_words(output)} is a single number"
    if len(sizes) > 1:
        return f"its output {_words(output)} is no single list of scores"
    return None


def count_classes(output: End) -> int | None:
    """How many scores an output has that `outputs_problem` accepts; None where a run decides."""
    sizes = _sizes(output.shape or ())
    return sizes[0] if len(sizes) == 1 and isinstance(sizes[0], int) and sizes[0] > 0 else None


def _sizes(shape: Sequence[int | str]) -> list[int | str]:
    """The sizes other than 1; an open one in front is the batch."""
    batch = len(shape) > 1 and _is_open(shape[0])
    return [size for size in (shape[1:] if batch else shape) if size != 1]


def _is_open(size: int | str) -> bool:
    """Whether only a run decides a size."""
    return isinstance(size, str) or size < 0


def _words(end: End) -> str:
    return "of unknown shape" if end.shape is None else str(list(end.shape))


def _task_problem(task: str) -> str | None:
    if task.lower() in _CLASSIFIES:
        return None
    if task == "embed":
        return "it answers with an embedding, not classes"
    return f"it says of itself that its task is '{task[:40]}'"


def output_kind(
    model: TFLiteModel, metadata: Metadata, scores: npt.NDArray[np.float32] | None = None
) -> tuple[str, str] | None:
    """Whether a classifier's numbers are logits or probabilities already, and what shows it.

    Args:
        model: the file; its last operator shows it, or the range that its output can take.
        metadata: of the file.
        scores: float32 [n, classes], answers of the file, which show it where nothing else does.

    Returns:
        `LOGIT` or `PROBABILITY`, and the reason in words; None where nothing shows it.
    """
    output = model.tensors[model.outputs[0]]
    producer = last_operator(model)
    if producer is not None and producer.name in _PROBABLE:
        return _PROBABLE[producer.name], f"the last operator is {producer.name}"
    if _is_between_0_and_1(output):
        return PROBABILITY, "its output can only be from 0 to 1"
    if metadata.output == LOGIT:
        return LOGIT, "its metadata say so"
    if scores is None:
        return None
    if metadata.output == PROBABILITY and _are_within_0_and_1(scores):
        return PROBABILITY, "its metadata say so"
    name = producer.name if producer is not None else "not known"
    return kind_of_scores(scores) or (LOGIT, f"the last operator is {name}")


def kind_of_scores(scores: npt.NDArray[np.float32]) -> tuple[str, str] | None:
    """`PROBABILITY`, and the reason, where answers [n, classes] show that they are such."""
    if _are_within_0_and_1(scores) and bool((abs(scores.sum(axis=1) - 1) < _SUM_TOLERANCE).all()):
        return PROBABILITY, "the values are from 0 to 1, and their sum is 1"
    return None


def _are_within_0_and_1(scores: npt.NDArray[np.float32]) -> bool:
    return bool((scores >= 0).all() and (scores <= 1 + 1e-3).all())


def last_operator(model: TFLiteModel) -> Operator | None:
    """What computes the first output, before conversions of type and shape."""
    producer = model.producer(model.outputs[0])
    while producer is not None and producer.name in _UNCHANGED:
        producer = model.producer(producer.inputs[0])
    return producer


def _is_between_0_and_1(output: Tensor) -> bool:
    """Whether the type holds nothing else; TFLite prescribes 1/256 for a softmax."""
    if output.dtype not in ("int8", "uint8") or not output.scale:
        return False
    limits, zero_point = np.iinfo(output.dtype), output.zero_point or 0
    low, high = ((limit - zero_point) * output.scale for limit in (limits.min, limits.max))
    return low == 0 and 0.99 < high < 1.01


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Probabilities of logits [..., classes]; not a number where a logit is not."""
    values = scores.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
