"""The documented rules of the Edge TPU compiler 16.0, checked on a .tflite file.

Sources: coral.ai "TensorFlow models on the Edge TPU" (model requirements and the table of
supported operations) and the statuses in the compiler's own logs. An error means that the
compiler refuses the file or maps nothing; a warning, that an operator stays on the CPU, and by
the compiler's rule of one subgraph everything behind it too. `OPERATORS` is the table: an
operator that is not in it is not supported; its limits say what is wrong with one, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgekit.converters.tflite_checks import WARNING, Finding, Rule, apply_rules, at, too_new
from edgekit.converters.tflite_file import Operator, Tensor, TFLiteModel
from edgekit.errors import UsageError

MAX_SOFTMAX = 16_000  # elements

Limit = Callable[[TFLiteModel, Operator], str | None]


def check_edgetpu(model: TFLiteModel) -> list[Finding]:
    """Returns what keeps ``model``, or an operator of it, off the Edge TPU."""
    return apply_rules(EDGETPU_RULES, model)


def unmapped(model: TFLiteModel) -> dict[int, str]:
    """Why an operator will not be mapped, by the operator's index; the others may be."""
    reasons = {op.index: _reason(model, op) for op in model.operators}
    return {index: reason for index, reason in reasons.items() if reason}


def _reason(model: TFLiteModel, op: Operator) -> str | None:
    if op.is_custom or op.name not in OPERATORS:
        return "the operation is not supported"
    for limit in (*OPERATORS[op.name], *_EVERY_OPERATOR):
        reason = limit(model, op)
        if reason:
            return reason
    return None


def _inputs(model: TFLiteModel, op: Operator) -> list[Tensor]:
    return [model.tensors[i] for i in op.inputs if i >= 0]


def _output(model: TFLiteModel, op: Operator) -> Tensor:
    return model.tensors[op.outputs[0]]


def _activations(model: TFLiteModel, op: Operator) -> list[Tensor]:
    """What flows through the operator; the states of an LSTM do not."""
    inputs = _inputs(model, op)[:1] if "LSTM" in op.name else _inputs(model, op)
    found = [t for t in inputs if not t.is_constant]
    return found + [model.tensors[i] for i in op.outputs]


def _is_8bit(model: TFLiteModel, op: Operator) -> str | None:
    for tensor in _activations(model, op):
        if tensor.dtype not in ("int8", "uint8"):
            return f"{at(tensor)} is {tensor.dtype}, an unsupported data type"
        if tensor.scale is None:
            return f"{at(tensor)} is not quantized"
    return None


def _rank(model: TFLiteModel, op: Operator) -> str | None:
    for tensor in _activations(model, op):
        if any(size != 1 for size in tensor.shape[:-3]):
            return f"{at(tensor)} is {list(tensor.shape)}; only the 3 innermost sizes may pass 1"
    return None


def _constant_parameters(model: TFLiteModel, op: Operator) -> str | None:
    changing = [t for t in _inputs(model, op)[1:3] if not t.is_constant]
    return f"{at(changing[0])} is not constant" if changing else None


def _same_dilation(model: TFLiteModel, op: Operator) -> str | None:
    width, height = (op.options.get(f"dilation_{side}_factor", 1) for side in "wh")
    return f"its dilation is {height} x {width}, not the same" if width != height else None


def _no_activation(model: TFLiteModel, op: Operator) -> str | None:
    fused = op.fused_activation
    return f"it has a fused activation, {fused}" if fused != "NONE" else None


def _zero_constant(model: TFLiteModel, op: Operator) -> str | None:
    inputs = _inputs(model, op)
    constants = [t for t in inputs if t.is_constant]
    if not constants:
        return None
    if len(inputs) != 2:
        return f"it joins a constant with {len(inputs) - 1} tensors, not with 1"
    zero = constants[0].zero_point or 0
    try:
        zeros = bool(np.all(constants[0].values() == zero))
    except UsageError:
        return f"{at(constants[0])} is not stored in the file"
    return None if zeros else "it joins a constant that is not zero"


def _fully_connected(model: TFLiteModel, op: Operator) -> str | None:
    if op.options.get("weights_format", 0) != 0:
        return "its weights are not in the default format"
    if len(_inputs(model, op)[1].scales) > 1:
        return "its weights are quantized per channel"
    return _one_dimensional(_output(model, op))


def _one_dimensional(tensor: Tensor) -> str | None:
    if any(size != 1 for size in tensor.shape[:-1]):
        return f"{at(tensor)} is {list(tensor.shape)}, not one-dimensional"
    return None


def _axes(model: TFLiteModel, op: Operator) -> list[int]:
    """The axes over which the operator reduces, counted from the front."""
    inputs = _inputs(model, op)
    if len(inputs) < 2:
        return []
    try:
        return [int(a) % max(len(inputs[0].shape), 1) for a in np.ravel(inputs[1].values())]
    except UsageError:
        return []


def _not_over_batch(model: TFLiteModel, op: Operator) -> str | None:
    batched = len(_inputs(model, op)[0].shape) > 1 and 0 in _axes(model, op)
    return "it reduces over the batch" if batched else None


def _depth_by_4(model: TFLiteModel, op: Operator) -> str | None:
    shape = _inputs(model, op)[0].shape
    if len(shape) == 4 and 3 in _axes(model, op) and shape[3] % 4:
        return f"it reduces over {shape[3]} channels, not a multiple of 4"
    return None


def _pack(model: TFLiteModel, op: Operator) -> str | None:
    return "it packs along the batch" if op.options.get("axis", 0) == 0 else None


def _pad(model: TFLiteModel, op: Operator) -> str | None:
    inputs = _inputs(model, op)
    try:
        batched = len(inputs[0].shape) == 4 and np.any(inputs[1].values()[0])
    except (UsageError, IndexError):
        return "its padding is not constant"
    return "it pads the batch" if batched else None


def _prelu(model: TFLiteModel, op: Operator) -> str | None:
    reason = _one_dimensional(_inputs(model, op)[1])
    return reason and f"its alpha is not one-dimensional: {reason}"


def _softmax(model: TFLiteModel, op: Operator) -> str | None:
    tensor = _inputs(model, op)[0]
    count = int(np.prod(tensor.shape))
    too_many = f"it has {count} elements, more than {MAX_SOFTMAX}"
    return too_many if count > MAX_SOFTMAX else _one_dimensional(tensor)


def _squeeze(model: TFLiteModel, op: Operator) -> str | None:
    shape = _inputs(model, op)[0].shape
    inner = shape[next((i for i, size in enumerate(shape) if size != 1), len(shape)) :]
    kept = tuple(size for size in _output(model, op).shape)
    relayout = kept[len(kept) - len(inner) :] != inner
    return f"it squeezes {list(shape)} behind a size above 1" if relayout else None


def _strided_slice(model: TFLiteModel, op: Operator) -> str | None:
    if op.options.get("ellipsis_mask", 0) or op.options.get("new_axis_mask", 0):
        return "it has an ellipsis or a new-axis mask"
    try:
        ones = bool(np.all(_inputs(model, op)[3].values() == 1))
    except (UsageError, IndexError):
        return "its strides are not constant"
    return None if ones else "its strides are not all 1"


_EVERY_OPERATOR: tuple[Limit, ...] = (_is_8bit, _rank)
_CONVOLUTION: tuple[Limit, ...] = (_constant_parameters, _same_dilation)
_FREE = (
    "ADD EXPAND_DIMS L2_NORMALIZATION LOGISTIC MAXIMUM MINIMUM MUL QUANTIZE RELU RELU6 "
    "RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SPACE_TO_DEPTH "
    "SPLIT SQUARED_DIFFERENCE SUB TANH TRANSPOSE LSTM UNIDIRECTIONAL_SEQUENCE_LSTM"
)
OPERATORS: dict[str, tuple[Limit, ...]] = {
    **dict.fromkeys(_FREE.split(), ()),
    "AVERAGE_POOL_2D": (_no_activation,),
    "CONCATENATION": (_no_activation, _zero_constant),
    "CONV_2D": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": _CONVOLUTION,
    "FULLY_CONNECTED": (_constant_parameters, _fully_connected),
    "MAX_POOL_2D": (_no_activation,),
    "MEAN": (_not_over_batch, _depth_by_4),
    "PACK": (_pack,),
    "PAD": (_pad,),
    "PRELU": (_prelu,),
    "REDUCE_MAX": (_not_over_batch,),
    "REDUCE_MIN": (_not_over_batch,),
    "SOFTMAX": (_softmax,),
    "SQUEEZE": (_squeeze,),
    "STRIDED_SLICE": (_strided_slice,),
    "SUM": (_not_over_batch,),
    "TRANSPOSE_CONV": (),
}


def _dynamic(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in sorted({*model.inputs, *model.outputs}):
        if min(model.tensors[index].shape, default=0) < 0:
            yield at(model.tensors[index]), "its size is only known at run time"


def _open_batch(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in model.inputs:
        tensor = model.tensors[index]
        if not tensor.is_static and min(tensor.shape, default=0) >= 0:
            yield at(tensor), "its batch is left open, which the compiler has refused at times"


def _batch(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in model.inputs:
        shape = model.tensors[index].shape
        if len(shape) == 4 and shape[0] > 1:
            yield at(model.tensors[index]), f"its batch is {shape[0]}"


def _nothing_maps(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    reasons = unmapped(model)
    if "edgetpu-custom-op" in model.custom_codes:
        yield "model", "it has been compiled for the Edge TPU already"
    elif len(reasons) == len(model.operators):
        first = next(iter(reasons.values()), "it has no operator")
        yield "model", f"no operator of it can run on the Edge TPU: {first}"


def _stay_on_cpu(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index, reason in unmapped(model).items():
        yield at(model.operators[index]), reason


EDGETPU_RULES = (
    Rule("static-shape", _dynamic, "convert with fixed sizes and batch 1"),
    Rule("open-batch", _open_batch, "convert with batch 1", WARNING),
    Rule("batch-1", _batch, "convert with batch 1"),
    Rule("op-version", too_new, "write the file with edgekit, which keeps to old versions"),
    Rule("maps", _nothing_maps, "compile a fully quantized int8 model"),
    Rule("operator", _stay_on_cpu, "it and all behind it run on the CPU; replace it", WARNING),
)
