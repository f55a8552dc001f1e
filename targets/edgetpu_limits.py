"""Which operators the Edge TPU compiler 16.0 maps, and within which limits.

Sources: coral.ai "TensorFlow models on the Edge TPU" (the table of supported operations), the
statuses in the compiler's own logs, and what its users and maintainers found (issues of
google-coral/edgetpu, named by number). `OPERATORS` is the table: an operator that is not in it is
not supported; each of its limits says what is wrong with one, or None.

Where only the largest size that was seen mapped and the smallest that was not are known, what lies
between counts as not mapped: a prediction errs on the side of the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgekit.converters.tflite_checks import at
from edgekit.converters.tflite_file import Operator, Tensor, TFLiteModel
from edgekit.errors import UsageError
from edgekit.targets.edgetpu_status import (
    DATA_TYPE,
    LIMITATION,
    MEANINGS,
    NOT_CONSTANT,
    RANK,
    UNSUPPORTED,
    VERSION,
)

MAX_SOFTMAX = 16_000  # elements

#: Positions (height x width) of a map that a MEAN over both takes: 64 x 128 was seen mapped,
#: 256 x 128 was not (issue 461). What lies between is not known.
MAX_MEAN = 64 * 128
SMALLEST_MEAN_LEFT = 256 * 128

#: Positions of a resized map: 256 x 256 was seen mapped (MiDaS v2, all of it), 512 x 512 was not
#: (issue 31). A factor of 2 was seen mapped (there and in YOLO), one of 33 was not (DeepLab v3).
MAX_RESIZED = 256 * 256
MAX_RESIZE_FACTOR = 2


@dataclass(frozen=True)
class Reason:
    """Why an operator is not mapped.

    Attributes:
        status: the compiler's words.
        text: what exactly is wrong.
        fix: what to do about it.
    """

    status: str
    text: str
    fix: str


Limit = Callable[[TFLiteModel, Operator], Reason | None]


def why_not(model: TFLiteModel, op: Operator) -> Reason | None:
    """Returns why the compiler will not map an operator, taken by itself; None where it will."""
    known = op.name in OPERATORS and not op.is_custom
    if not known and not op.is_custom and op.name != "DEQUANTIZE":
        return _unsupported(op)
    limits = (*OPERATORS[op.name], _rank) if known else (lambda _, op: _unsupported(op),)
    return next(filter(None, (limit(model, op) for limit in (_is_8bit, *limits))), None)


def _unsupported(op: Operator) -> Reason:
    return Reason(UNSUPPORTED, "the Edge TPU has no such operator", _REPLACE.get(op.name, _ANY))


_ANY = MEANINGS[UNSUPPORTED].fix
_REPLACE = {
    "HARD_SWISH": "train with relu6, or with swish, which is LOGISTIC and MUL",
    "LEAKY_RELU": "use PRELU with one alpha per channel, or relu6",
    "GELU": "train with relu6 or swish",
    "ELU": "use PRELU or relu6",
    "ARG_MAX": "leave it to the program that reads the scores",
    "DEQUANTIZE": "give the model a uint8 output (--io uint8)",
    "TFLite_Detection_PostProcess": "it runs on the CPU in every detector; it is the last one",
}


def _limitation(text: str, fix: str = MEANINGS[LIMITATION].fix) -> Reason:
    return Reason(LIMITATION, text, fix)


def _inputs(model: TFLiteModel, op: Operator) -> list[Tensor]:
    return [model.tensors[i] for i in op.inputs if i >= 0]


def _input(model: TFLiteModel, op: Operator) -> Tensor | None:
    return next(iter(_inputs(model, op)), None)


def _output(model: TFLiteModel, op: Operator) -> Tensor | None:
    return model.tensors[op.outputs[0]] if op.outputs else None


def _activations(model: TFLiteModel, op: Operator) -> list[Tensor]:
    """What flows through the operator; weights and the states of an LSTM do not."""
    inputs = _inputs(model, op)
    if "LSTM" in op.name or _constant_parameters in OPERATORS.get(op.name, ()):
        inputs = inputs[:1]
    found = [t for t in inputs if not t.is_constant]
    return found + [model.tensors[i] for i in op.outputs]


def _is_8bit(model: TFLiteModel, op: Operator) -> Reason | None:
    for tensor in _activations(model, op):
        if tensor.dtype not in ("int8", "uint8"):
            if op.name == "QUANTIZE":  # as compiler 16 says it of a float input
                return _limitation(
                    f"{at(tensor)} is {tensor.dtype}", "give the model a uint8 input (--io uint8)"
                )
            fix = _REPLACE.get(op.name, MEANINGS[DATA_TYPE].fix)
            return Reason(DATA_TYPE, f"{at(tensor)} is {tensor.dtype}", fix)
        if tensor.scale is None:
            return Reason(DATA_TYPE, f"{at(tensor)} is not quantized", MEANINGS[DATA_TYPE].fix)
    return None


def _rank(model: TFLiteModel, op: Operator) -> Reason | None:
    for tensor in _activations(model, op):
        if any(size != 1 for size in tensor.shape[:-3]):
            text = f"{at(tensor)} is {list(tensor.shape)}; only the 3 innermost sizes may pass 1"
            return Reason(RANK, text, MEANINGS[RANK].fix)
    return None


def _constant_parameters(model: TFLiteModel, op: Operator) -> Reason | None:
    changing = [t for t in _inputs(model, op)[1:3] if not t.is_constant]
    if not changing:
        return None
    return Reason(NOT_CONSTANT, f"{at(changing[0])} is computed", MEANINGS[NOT_CONSTANT].fix)


def _same_dilation(model: TFLiteModel, op: Operator) -> Reason | None:
    width, height = (op.options.get(f"dilation_{side}_factor", 1) for side in "wh")
    if width == height:
        return None
    return _limitation(
        f"its dilation is {height} x {width}, not the same", "use one dilation for both directions"
    )


def _no_activation(model: TFLiteModel, op: Operator) -> Reason | None:
    fused = op.fused_activation
    if fused == "NONE":
        return None
    return _limitation(
        f"it has a fused activation, {fused}", "put the activation into an operator of its own"
    )


def _zero_constant(model: TFLiteModel, op: Operator) -> Reason | None:
    inputs = _inputs(model, op)
    constants = [t for t in inputs if t.is_constant]
    if not constants:
        return None
    fix = "join a constant of zeros to one tensor only, or use PAD"
    if len(inputs) != 2:
        return _limitation(f"it joins a constant with {len(inputs) - 1} tensors, not with 1", fix)
    zero = constants[0].zero_point or 0
    try:
        zeros = bool(np.all(constants[0].values() == zero))
    except UsageError:
        return _limitation(f"{at(constants[0])} is not stored in the file", fix)
    return None if zeros else _limitation("it joins a constant that is not zero", fix)


def _fully_connected(model: TFLiteModel, op: Operator) -> Reason | None:
    inputs = _inputs(model, op)
    if op.options.get("weights_format", 0) != 0:
        return _limitation("its weights are not in the default format", "store them as they are")
    if len(inputs) > 1 and len(inputs[1].scales) > 1:
        return _limitation(
            "its weights are quantized per channel", "quantize it per tensor, as edgekit does"
        )
    return _one_dimensional(_output(model, op))


def _one_dimensional(tensor: Tensor | None) -> Reason | None:
    if tensor is None or all(size == 1 for size in tensor.shape[:-1]):
        return None
    return _limitation(f"{at(tensor)} is {list(tensor.shape)}, not one-dimensional")


def _axes(model: TFLiteModel, op: Operator) -> list[int]:
    """The axes over which the operator reduces, counted from the front."""
    inputs = _inputs(model, op)
    if len(inputs) < 2:
        return []
    try:
        return [int(a) % max(len(inputs[0].shape), 1) for a in np.ravel(inputs[1].values())]
    except UsageError:
        return []


def _not_over_batch(model: TFLiteModel, op: Operator) -> Reason | None:
    tensor = _input(model, op)
    if tensor is None or len(tensor.shape) < 2 or 0 not in _axes(model, op):
        return None
    return _limitation("it reduces over the batch", "reduce over height, width or channels only")


def _depth_by_4(model: TFLiteModel, op: Operator) -> Reason | None:
    tensor = _input(model, op)
    if tensor is None or len(tensor.shape) != 4 or 3 not in _axes(model, op):
        return None
    channels = tensor.shape[3]
    text = f"it reduces over {channels} channels, not a multiple of 4"
    return _limitation(text, "pad the channels to a multiple of 4") if channels % 4 else None


def _small_map(model: TFLiteModel, op: Operator) -> Reason | None:
    tensor = _input(model, op)
    if tensor is None or len(tensor.shape) != 4 or not {1, 2} <= {*_axes(model, op)}:
        return None
    height, width = tensor.shape[1:3]
    if height * width <= MAX_MEAN:
        return None
    known = (
        "not mapped"
        if height * width >= SMALLEST_MEAN_LEFT
        else f"between {MAX_MEAN:,}, the largest seen mapped, and {SMALLEST_MEAN_LEFT:,}, "
        "the smallest seen left out"
    )
    return _limitation(
        f"it averages {height} x {width} = {height * width:,} positions, {known}",
        "average in two steps (edgekit does so with --target edgetpu), or lower the resolution",
    )


def _resized(model: TFLiteModel, op: Operator) -> Reason | None:
    source, made = _input(model, op), _output(model, op)
    if source is None or made is None or len(source.shape) != 4 or len(made.shape) != 4:
        return None
    factor = max(b / max(a, 1) for a, b in zip(source.shape[1:3], made.shape[1:3], strict=True))
    text = f"it resizes {list(source.shape[1:3])} to {list(made.shape[1:3])}"
    if factor > MAX_RESIZE_FACTOR:
        return _limitation(f"{text}, by {factor:.4g}: more than by 2", "resize in steps of 2")
    if math.prod(made.shape[1:3]) > MAX_RESIZED:
        return _limitation(f"{text}, larger than 256 x 256", "resize behind the model")
    return None


def _old_nearest(model: TFLiteModel, op: Operator) -> Reason | None:
    if not op.options.get("half_pixel_centers"):
        return None
    fix = "convert without half-pixel centers"
    return Reason(VERSION, "it takes half-pixel centers, which came with its version 3", fix)


def _transpose(model: TFLiteModel, op: Operator) -> Reason | None:
    """A permutation that only moves sizes of 1 is a reshape; no other was seen mapped (433)."""
    inputs = _inputs(model, op)
    fix = "keep channels last throughout: exporters of channels-first networks add transposes"
    try:
        order = [int(axis) for axis in np.ravel(inputs[1].values())]
        moved = [axis for axis in order if inputs[0].shape[axis] != 1]
    except (UsageError, IndexError):
        return _limitation("its permutation is not constant", fix)
    if moved == sorted(moved):
        return None
    return _limitation(f"it permutes {list(inputs[0].shape)} by {order}", fix)


def _pack(model: TFLiteModel, op: Operator) -> Reason | None:
    if op.options.get("axis", 0) != 0:
        return None
    return _limitation("it packs along the batch", "pack along another axis")


def _pad(model: TFLiteModel, op: Operator) -> Reason | None:
    inputs = _inputs(model, op)
    fix = "pad height, width or channels by constants"
    try:
        batched = len(inputs[0].shape) == 4 and np.any(inputs[1].values()[0])
    except (UsageError, IndexError):
        return _limitation("its padding is not constant", fix)
    return _limitation("it pads the batch", fix) if batched else None


def _prelu(model: TFLiteModel, op: Operator) -> Reason | None:
    inputs = _inputs(model, op)
    reason = _one_dimensional(inputs[1]) if len(inputs) > 1 else None
    fix = "share alpha over height and width (Keras: shared_axes=[1, 2])"
    return reason and _limitation(f"its alpha is not one-dimensional: {reason.text}", fix)


def _softmax(model: TFLiteModel, op: Operator) -> Reason | None:
    tensor = _input(model, op)
    if tensor is None:
        return None
    count = math.prod(tensor.shape)
    if count > MAX_SOFTMAX:
        text = f"it has {count:,} elements, more than {MAX_SOFTMAX:,}"
        return _limitation(text, "end the model with the logits")
    return _one_dimensional(tensor)


def _squeeze(model: TFLiteModel, op: Operator) -> Reason | None:
    source, made = _input(model, op), _output(model, op)
    if source is None or made is None:
        return None
    shape = source.shape
    inner = shape[next((i for i, size in enumerate(shape) if size != 1), len(shape)) :]
    relayout = made.shape[len(made.shape) - len(inner) :] != inner
    text = f"it squeezes {list(shape)} behind a size above 1"
    return _limitation(text, "use RESHAPE") if relayout else None


def _strided_slice(model: TFLiteModel, op: Operator) -> Reason | None:
    if op.options.get("ellipsis_mask", 0) or op.options.get("new_axis_mask", 0):
        return _limitation("it has an ellipsis or a new-axis mask", "slice by begin and end only")
    try:
        ones = bool(np.all(_inputs(model, op)[3].values() == 1))
    except (UsageError, IndexError):
        return _limitation("its strides are not constant", "slice with strides of 1")
    return None if ones else _limitation("its strides are not all 1", "slice with strides of 1")


_CONVOLUTION: tuple[Limit, ...] = (_constant_parameters, _same_dilation)
_FREE = (
    "ADD EXPAND_DIMS L2_NORMALIZATION LOGISTIC MAXIMUM MINIMUM MUL QUANTIZE RELU RELU6 "
    "RELU_N1_TO_1 RESHAPE RSQRT SLICE SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SUB TANH "
    "TRANSPOSE_CONV LSTM UNIDIRECTIONAL_SEQUENCE_LSTM"
)
OPERATORS: dict[str, tuple[Limit, ...]] = {
    **dict.fromkeys(_FREE.split(), ()),
    "AVERAGE_POOL_2D": (_no_activation,),
    "CONCATENATION": (_no_activation, _zero_constant),
    "CONV_2D": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": _CONVOLUTION,
    "FULLY_CONNECTED": (_constant_parameters, _fully_connected),
    "MAX_POOL_2D": (_no_activation,),
    "MEAN": (_not_over_batch, _depth_by_4, _small_map),
    "PACK": (_pack,),
    "PAD": (_pad,),
    "PRELU": (_prelu,),
    "REDUCE_MAX": (_not_over_batch,),
    "REDUCE_MIN": (_not_over_batch,),
    "RESIZE_BILINEAR": (_resized,),
    "RESIZE_NEAREST_NEIGHBOR": (_old_nearest, _resized),
    "SOFTMAX": (_softmax,),
    "SQUEEZE": (_squeeze,),
    "STRIDED_SLICE": (_strided_slice,),
    "SUM": (_not_over_batch,),
    "TRANSPOSE": (_transpose,),
}
