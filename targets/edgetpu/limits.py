"""What can keep one operator off the Edge TPU: a function per limit.

Each says what is wrong with an operator, or None. `edgekit.targets.edgetpu.operators` has the
table of which operator is subject to which, and where each was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.converters.tflite.checks import at
from edgekit.converters.tflite.detections import POST_PROCESS
from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel
from edgekit.errors import UsageError
from edgekit.targets.edgetpu.evidence import Evidence
from edgekit.targets.edgetpu.status import DATA_TYPE, LIMITATION, MEANINGS, NOT_CONSTANT, RANK

UINT8_INPUT = (
    "give the model an 8-bit input: `edgekit build --io uint8`, or inference_input_type = "
    "tf.uint8 of TensorFlow's converter"
)
UINT8_OUTPUT = (
    "give the model an 8-bit output: `edgekit build --io uint8`, or inference_output_type = "
    "tf.uint8 of TensorFlow's converter"
)
FOR_BOXES = "leave it on the CPU: what finds the boxes, behind it, computes in float there"
CHANNELS_LAST = (
    "convert with channels last throughout (onnx2tf does it): exporters of channels-first networks "
    "add transposes"
)
NO_WEIGHTS_ALONE = (
    "quantize activations too: the file stores these weights small and widens them when it runs"
)


@dataclass(frozen=True)
class Reason:
    """Why an operator is not mapped.

    Attributes:
        status: the compiler's words.
        text: what exactly is wrong.
        fix: what to do about it.
        evidence: what showed that the compiler maps no such operator.
    """

    status: str
    text: str
    fix: str
    evidence: tuple[Evidence, ...] = ()

    def __str__(self) -> str:
        return f"{self.text} ({self.evidence[0]})" if self.evidence else self.text


def limitation(text: str, fix: str = MEANINGS[LIMITATION].fix) -> Reason:
    """A reason with the compiler's least specific status."""
    return Reason(LIMITATION, text, fix)


def inputs_of(model: TFLiteModel, op: Operator) -> list[Tensor]:
    """The inputs that are there."""
    return [model.tensors[i] for i in op.inputs if i >= 0]


def input_of(model: TFLiteModel, op: Operator) -> Tensor | None:
    """The first input; None where there is none."""
    return next(iter(inputs_of(model, op)), None)


def output_of(model: TFLiteModel, op: Operator) -> Tensor | None:
    """The first output; None where there is none."""
    return model.tensors[op.outputs[0]] if op.outputs else None


_WITH_PARAMETERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def _activations(model: TFLiteModel, op: Operator) -> list[Tensor]:
    """What flows through the operator; weights and the states of an LSTM do not."""
    inputs = inputs_of(model, op)
    if "LSTM" in op.name or op.name in _WITH_PARAMETERS:
        inputs = inputs[:1]
    found = [t for t in inputs if not t.is_constant]
    return found + [model.tensors[i] for i in op.outputs]


def not_8bit(model: TFLiteModel, op: Operator) -> Reason | None:
    """An activation is no 8-bit integer."""
    for tensor in _activations(model, op):
        if tensor.dtype not in ("int8", "uint8"):
            text = f"{at(tensor)} is {tensor.dtype}"
            if op.name == "QUANTIZE":  # as compiler 16 says it of a float input
                return limitation(text, UINT8_INPUT)
            return Reason(DATA_TYPE, text, _to_8bit(model, op))
        if tensor.scale is None:
            return Reason(DATA_TYPE, f"{at(tensor)} is not quantized", MEANINGS[DATA_TYPE].fix)
    return None


#: What carries class numbers on, as they are.
_CARRIES = ("CAST", "EXPAND_DIMS", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "SQUEEZE")


def class_numbers(model: TFLiteModel, op: Operator) -> Reason | None:
    """An ARG_MAX, or what only carries its class numbers on."""
    if op.name == "ARG_MAX":
        made = output_of(model, op)
        kind = made.dtype if made else "no type"
        return Reason(DATA_TYPE, f"it gives class numbers, {kind}", REPLACE["ARG_MAX"])
    first: Operator | None = op
    while first is not None and first.name in _CARRIES and first.inputs:
        first = model.producer(first.inputs[0])
    if first is None or first.name != "ARG_MAX":
        return None
    text = f"it carries on the class numbers of {at(first)}"
    return Reason(DATA_TYPE, text, "nothing: on one byte a pixel the CPU is as fast")


def _to_8bit(model: TFLiteModel, op: Operator) -> str:
    if op.name != "DEQUANTIZE":
        return REPLACE.get(op.name, MEANINGS[DATA_TYPE].fix)
    source = input_of(model, op)
    if source is not None and source.is_constant:
        return NO_WEIGHTS_ALONE
    readers = {reader.name for index in op.outputs for reader in model.consumers(index)}
    return FOR_BOXES if readers == {POST_PROCESS} else UINT8_OUTPUT


#: What to do about an operator of a kind that stays on the CPU.
REPLACE = {
    "ABS": "use relu(x) + relu(-x)",
    "ARG_MAX": "end the model before it (`edgekit build --output logits`); the "
    "program that reads the scores can take the argmax",
    "ARG_MIN": "end the model before it; the program that reads the scores can take the argmin",
    "HARD_SWISH": "train with relu6, or with swish, which is LOGISTIC and MUL",
    "LEAKY_RELU": "use PRELU with one alpha per channel, or relu6",
    POST_PROCESS: "leave it on the CPU, as every detector does: it comes last",
    "TOPK_V2": "end the model before it; the program that reads the scores can sort them",
}


def rank(model: TFLiteModel, op: Operator) -> Reason | None:
    """More than three sizes of an activation exceed 1."""
    for tensor in _activations(model, op):
        if any(size != 1 for size in tensor.shape[:-3]):
            text = f"{at(tensor)} is {list(tensor.shape)}; only the 3 innermost sizes may pass 1"
            return Reason(RANK, text, MEANINGS[RANK].fix)
    return None


def computed_parameters(model: TFLiteModel, op: Operator) -> Reason | None:
    """Weights or a bias that are not stored in the file."""
    changing = [t for t in inputs_of(model, op)[1:3] if not t.is_constant]
    if not changing:
        return None
    return Reason(NOT_CONSTANT, f"{at(changing[0])} is computed", MEANINGS[NOT_CONSTANT].fix)


def two_dilations(model: TFLiteModel, op: Operator) -> Reason | None:
    """Dilations that differ; along a side of 1 a kernel has none."""
    inputs = inputs_of(model, op)
    sides = inputs[1].shape[1:3] if len(inputs) > 1 else ()
    height, width = (op.options.get(f"dilation_{side}_factor", 1) for side in "hw")
    if width == height or 1 in sides:
        return None
    return limitation(
        f"its dilation is {height} x {width}, not the same", "use one dilation for both directions"
    )


def fused_activation(model: TFLiteModel, op: Operator) -> Reason | None:
    """An activation inside an operator that takes none there."""
    fused = op.fused_activation
    if fused == "NONE":
        return None
    return limitation(
        f"it has a fused activation, {fused}", "put the activation into an operator of its own"
    )


def concatenated_constant(model: TFLiteModel, op: Operator) -> Reason | None:
    """A constant among concatenated tensors, other than zeros beside one tensor."""
    inputs = inputs_of(model, op)
    constants = [t for t in inputs if t.is_constant]
    if not constants:
        return None
    fix = "concatenate a constant of zeros with one tensor only, or use PAD"
    if len(inputs) != 2:
        return limitation(f"it joins a constant with {len(inputs) - 1} tensors, not with 1", fix)
    zero = constants[0].zero_point or 0
    try:
        zeros = bool(np.all(constants[0].values() == zero))
    except UsageError:
        return limitation(f"{at(constants[0])} is not stored in the file", fix)
    return None if zeros else limitation("it joins a constant that is not zero", fix)


def shuffled_weights(model: TFLiteModel, op: Operator) -> Reason | None:
    """Weights of a fully connected layer in another than the default format."""
    if op.options.get("weights_format", 0) == 0:
        return None
    return limitation(
        "its weights are not in the default format",
        "convert it again with the weights in the default format (weights_format DEFAULT)",
    )


def many_rows(model: TFLiteModel, op: Operator) -> Reason | None:
    """An output of more than one row."""
    return _not_flat(output_of(model, op), "flatten its input to one row (RESHAPE)")


def _not_flat(tensor: Tensor | None, fix: str) -> Reason | None:
    if tensor is None or all(size == 1 for size in tensor.shape[:-1]):
        return None
    return limitation(f"{at(tensor)} is {list(tensor.shape)}, not one-dimensional", fix)


def axes_of(model: TFLiteModel, op: Operator) -> list[int]:
    """The axes over which the operator reduces, counted from the front."""
    inputs = inputs_of(model, op)
    if len(inputs) < 2:
        return []
    try:
        return [int(a) % max(len(inputs[0].shape), 1) for a in np.ravel(inputs[1].values())]
    except UsageError:
        return []


def over_batch(model: TFLiteModel, op: Operator) -> Reason | None:
    """A reduction over the batch."""
    tensor = input_of(model, op)
    if tensor is None or len(tensor.shape) < 2 or 0 not in axes_of(model, op):
        return None
    return limitation("it reduces over the batch", "reduce over height, width or channels only")


def depth_not_by_4(model: TFLiteModel, op: Operator) -> Reason | None:
    """A mean over channels whose number is no multiple of 4."""
    tensor = input_of(model, op)
    if tensor is None or len(tensor.shape) != 4 or 3 not in axes_of(model, op):
        return None
    channels = tensor.shape[3]
    text = f"it reduces over {channels} channels, not a multiple of 4"
    return limitation(text, "pad the channels to a multiple of 4") if channels % 4 else None


def computed_permutation(model: TFLiteModel, op: Operator) -> Reason | None:
    """A transpose whose permutation is not stored in the file."""
    inputs = inputs_of(model, op)
    try:
        permuted(inputs)
    except (UsageError, IndexError):
        return limitation("its permutation is not constant", CHANNELS_LAST)
    return None


def permuted(inputs: list[Tensor]) -> tuple[list[int], list[int]]:
    """The axes of a transpose in their new order, and those of them that are above 1."""
    order = [int(axis) for axis in np.ravel(inputs[1].values())]
    return order, [axis for axis in order if inputs[0].shape[axis] != 1]


def packed_batch(model: TFLiteModel, op: Operator) -> Reason | None:
    """Packing along the batch."""
    if op.options.get("axis", 0) != 0:
        return None
    return limitation("it packs along the batch", "pack along another axis")


def padded_batch(model: TFLiteModel, op: Operator) -> Reason | None:
    """Padding of the batch, or by amounts that are not stored in the file."""
    inputs = inputs_of(model, op)
    fix = "pad height, width or channels by constants"
    try:
        batched = len(inputs[0].shape) == 4 and np.any(inputs[1].values()[0])
    except (UsageError, IndexError):
        return limitation("its padding is not constant", fix)
    return limitation("it pads the batch", fix) if batched else None


def wide_alpha(model: TFLiteModel, op: Operator) -> Reason | None:
    """Slopes of a PRELU that differ within a channel."""
    inputs = inputs_of(model, op)
    fix = "share alpha over height and width (Keras: shared_axes=[1, 2])"
    reason = _not_flat(inputs[1], fix) if len(inputs) > 1 else None
    return reason and limitation(f"its alpha is not one-dimensional: {reason.text}", fix)


def relayout(model: TFLiteModel, op: Operator) -> Reason | None:
    """A squeeze of a size behind one that is above 1."""
    source, made = input_of(model, op), output_of(model, op)
    if source is None or made is None:
        return None
    shape = source.shape
    inner = shape[next((i for i, size in enumerate(shape) if size != 1), len(shape)) :]
    moved = made.shape[len(made.shape) - len(inner) :] != inner
    text = f"it squeezes {list(shape)} behind a size above 1"
    return limitation(text, "use RESHAPE") if moved else None


def sliced_by_mask(model: TFLiteModel, op: Operator) -> Reason | None:
    """A slice with an ellipsis or a new axis."""
    if op.options.get("ellipsis_mask", 0) or op.options.get("new_axis_mask", 0):
        return limitation("it has an ellipsis or a new-axis mask", "slice by begin and end only")
    return None


def strides(model: TFLiteModel, op: Operator) -> Reason | None:
    """A slice with strides other than 1."""
    try:
        ones = bool(np.all(inputs_of(model, op)[3].values() == 1))
    except (UsageError, IndexError):
        return limitation("its strides are not constant", "slice with strides of 1")
    return None if ones else limitation("its strides are not all 1", "slice with strides of 1")


def resized_pixel(model: TFLiteModel, op: Operator) -> Reason | None:
    """A resize of a map of one pixel, which repeats it."""
    source, made = input_of(model, op), output_of(model, op)
    if source is None or made is None or len(source.shape) != 4 or len(made.shape) != 4:
        return None
    if source.shape[1:3] != (1, 1) or made.shape[1:3] == (1, 1):
        return None
    text = f"it resizes one pixel to {made.shape[1]} x {made.shape[2]}"
    advice = "repeat the pixel with TILE, as edgekit build does"
    if op.name == "RESIZE_NEAREST_NEIGHBOR":
        advice = "give a detector more than 128 px, or repeat the pixel with TILE"
    return limitation(text, advice)


def half_pixel(model: TFLiteModel, op: Operator) -> str | None:
    """A resize whose corners, not the centres of whose corner pixels, are put on each other."""
    if not op.options.get("half_pixel_centers", False):
        return None
    return (
        "its pixel centres are at halves: version 15 left it out (Operation version not "
        "supported), and of version 16 one network at 128 px is known that it took, and at 256 px "
        "one that it refused"
    )


def transposed_convolution(model: TFLiteModel, op: Operator) -> str | None:
    """Any of them."""
    return "the documentation lists it, and users found theirs left out"
