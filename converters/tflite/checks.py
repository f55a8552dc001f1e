"""Checks a finished int8 .tflite file against the TFLite 8-bit scheme and TensorFlow 2.5.

The scheme is TensorFlow's 8-bit quantization specification. A rule is a row of `INT8_RULES`,
or of `MIXED_RULES` for a file with some float operators; every rule that is broken gives a
`Finding` per place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from edgekit.converters.findings import ERROR, WARNING, Finding
from edgekit.converters.tflite.detections import find_post_process, loses_a_class
from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel
from edgekit.converters.tflite.op_versions import OP_VERSIONS_TF_2_5
from edgekit.errors import UsageError
from edgekit.networks.quantization import SUM_SHARES


@dataclass(frozen=True)
class Rule:
    """A rule: `find` yields where it is broken and how."""

    name: str
    find: Callable[[TFLiteModel], Iterator[tuple[str, str]]]
    fix: str
    severity: str = ERROR


def check_int8(model: TFLiteModel) -> list[Finding]:
    """Returns what in ``model`` breaks the w8a8-static scheme; nothing, where it holds."""
    return apply_rules(INT8_RULES, model)


def check_mixed(model: TFLiteModel) -> list[Finding]:
    """Returns what in ``model``, int8 in part and float in part, breaks the scheme of its part."""
    return apply_rules(MIXED_RULES, model)


def apply_rules(rules: Iterable[Rule], model: TFLiteModel) -> list[Finding]:
    """Returns the findings of all rules, in the order of the rules."""
    return [
        Finding(rule.severity, rule.name, where, message, rule.fix)
        for rule in rules
        for where, message in rule.find(model)
    ]


def at(place: Operator | Tensor) -> str:
    """Names an operator or a tensor in a finding."""
    if isinstance(place, Operator):
        return f"{place.index} {place.name}"
    name = place.name if len(place.name) <= 60 else place.name[:59] + "…"
    return f"tensor '{name}'"


_WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # the channel axis
_FIXED = {  # output scale and int8 zero point that the kernels take for granted
    "LOGISTIC": (1 / 256, -128),
    "SOFTMAX": (1 / 256, -128),
    "TANH": (1 / 128, 0),
    "L2_NORMALIZATION": (1 / 128, 0),
}
#: Where layers are kept in float, TensorFlow's converter is off by 3e-4 on activations of some
#: 1e-6. A kernel takes whatever leaves its output within 2 % of a step.
BIAS_TOLERANCE = 1e-3
_SAME_SCALE = (
    *("AVERAGE_POOL_2D", "MAX_POOL_2D", "RESHAPE", "CONCATENATION", "SQUEEZE", "PAD"),
    *("PADV2", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TILE"),
)
_SUMS = ("ADD", "SUB")
#: What hands on numbers of classes as they are.
_OF_CLASSES = ("RESHAPE", "SQUEEZE", "CAST", "RESIZE_NEAREST_NEIGHBOR")
_LEFT_OVER = ("PADV2", "MIRROR_PAD", "TRANSPOSE")
_LOOSE_ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1")


def _subgraphs(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    if model.subgraphs != 1:
        yield "model", f"it has {model.subgraphs} subgraphs"


def _dynamic(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    dynamic = [tensor for tensor in model.tensors if not tensor.is_static]
    if dynamic:  # one such input makes every tensor behind it such
        yield at(dynamic[0]), f"{len(dynamic)} tensors have a size that only the run decides"


def _batch(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in (*model.inputs, *model.outputs):
        tensor = model.tensors[index]
        if len(tensor.shape) > 1 and tensor.shape[0] not in (1, -1):
            yield at(tensor), f"its shape is {list(tensor.shape)}"


def _at_the_ends(model: TFLiteModel) -> set[int]:
    """Inputs that only QUANTIZE reads and outputs that QUANTIZE or DEQUANTIZE writes."""
    ends = {i for i in model.inputs if {op.name for op in model.consumers(i)} == {"QUANTIZE"}}
    for index in model.outputs:
        producer = model.producer(index)
        if producer is not None and producer.name in ("QUANTIZE", "DEQUANTIZE"):
            ends.add(index)
    return ends


def _of_boxes(model: TFLiteModel) -> set[int]:
    """What the operator that ends a detector reads and writes: it computes in float."""
    op = find_post_process(model)
    return {*op.inputs, *op.outputs} if op else set()


def _class_tensors(model: TFLiteModel) -> set[int]:
    """The tensors of numbers of classes, which no scale is for."""
    found: set[int] = set()
    for op in model.operators:
        if op.name == "ARG_MAX" or (op.name in _OF_CLASSES and op.inputs[0] in found):
            found.update(op.outputs)
    return found


def _tiled(model: TFLiteModel) -> set[int]:
    """What TILE reads and writes: of bytes, compilers take it that take none of int8."""
    tiles = [op for op in model.operators if op.name == "TILE"]
    return {index for op in tiles for index in (op.inputs[0], *op.outputs)}


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype.startswith(("float", "bfloat"))


def _float_inside(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    ends = _at_the_ends(model) | _of_boxes(model)
    for tensor in model.tensors:
        if _is_float(tensor) and tensor.index not in ends:
            yield at(tensor), f"it is {tensor.dtype} {list(tensor.shape)}"


def _half_float(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        tensors = [model.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
        types = {tensor.dtype for tensor in tensors if _is_float(tensor) or tensor.dtype == "int8"}
        if len(types) > 1 and op.name not in ("QUANTIZE", "DEQUANTIZE"):
            yield at(op), f"its tensors are {' and '.join(sorted(types))}"


def _float_ends(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for index in sorted(_at_the_ends(model)):
        if _is_float(model.tensors[index]):
            yield at(model.tensors[index]), "the model's input or output is float"


def _types(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    bytes_too, classes = _at_the_ends(model) | _tiled(model), _class_tensors(model)
    for tensor in model.tensors:
        if tensor.index in classes:
            continue
        allowed = {"int8"} | ({"int32"} if tensor.is_constant else set())
        if tensor.index in bytes_too:
            allowed |= {"uint8"}
        if tensor.dtype not in allowed and not _is_float(tensor):
            yield at(tensor), f"it is {tensor.dtype}, not {' or '.join(sorted(allowed))}"


def _left_over(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        if op.name in _LEFT_OVER and not _pads_a_maximum(model, op):
            yield at(op), "an operator that the network does not have"


def _pads_a_maximum(model: TFLiteModel, op: Operator) -> bool:
    """Whether an operator adds to a map what its maximum pool never finds the largest."""
    readers = {reader.name for index in op.outputs for reader in model.consumers(index)}
    return op.name == "PADV2" and readers == {"MAX_POOL_2D"}


def _padding(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        if op.name == "PAD" or _pads_a_maximum(model, op):
            yield at(op), "torch's symmetric padding, which no window of TFLite has"


def _loose_activation(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op in model.operators:
        if op.name in _LOOSE_ACTIVATIONS:
            yield at(op), "the activation is not fused into the operator before it"


def _custom(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    known = find_post_process(model)
    for op in model.operators:
        if op.is_custom and op != known:
            yield at(op), "a custom operator"


def too_new(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    """Operators in a version that TensorFlow 2.5, which compilers embed, cannot read."""
    for op in model.operators:
        newest = OP_VERSIONS_TF_2_5.get(op.name, 0)
        if not op.is_custom and op.version > newest:
            known = f"TensorFlow 2.5 runs up to {newest}" if newest else "TensorFlow 2.5 has none"
            yield at(op), f"version {op.version}; {known}"


def _activation_scale(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    classes = _class_tensors(model)
    for tensor in model.tensors:
        if tensor.is_constant or tensor.dtype not in ("int8", "uint8") or tensor.index in classes:
            continue
        if tensor.scale is None or tensor.zero_point is None:
            yield at(tensor), f"it has {len(tensor.scales)} scales"
        elif not (math.isfinite(tensor.scale) and tensor.scale > 0):
            yield at(tensor), f"its scale is {tensor.scale}"
        elif not np.iinfo(tensor.dtype).min <= tensor.zero_point <= np.iinfo(tensor.dtype).max:
            yield at(tensor), f"its zero point {tensor.zero_point} is no {tensor.dtype}"


def fixed_scale(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    """Operators whose int8 kernels prescribe the output's scale, and which have another."""
    for op in model.operators:
        output = model.tensors[op.outputs[0]] if op.outputs else None
        if op.name not in _FIXED or output is None or output.dtype != "int8":
            continue
        scale, zero_point = _FIXED[op.name]
        if output.zero_point != zero_point or not _near(output.scale or 0.0, scale):
            found = f"scale {output.scale}, zero point {output.zero_point}"
            yield at(op), f"its output has {found}, not {scale} and {zero_point}"


def _same_scale(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    classes = _class_tensors(model)
    for op in model.operators:
        if op.name not in _SAME_SCALE or op.outputs[0] in classes:
            continue
        output = model.tensors[op.outputs[0]]
        for tensor in (model.tensors[i] for i in op.inputs if i >= 0):
            same = (tensor.scale, tensor.zero_point) == (output.scale, output.zero_point)
            if tensor.dtype in ("int8", "uint8") and not same:
                yield at(op), f"its output's scale differs from that of {at(tensor)}"


def _sum_scales(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    least, beyond = SUM_SHARES
    for op in model.operators:
        if op.name not in _SUMS:
            continue
        output = model.tensors[op.outputs[0]]
        for tensor in (model.tensors[i] for i in op.inputs if i >= 0):
            if tensor.dtype == output.dtype == "int8" and tensor.scale and output.scale:
                share = tensor.scale / output.scale
                if not least <= share < beyond:
                    yield at(op), f"the scale of {at(tensor)} is {share:.2g} times its output's"


def _weights(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    for op, _, weights, _ in _weighted(model):
        if weights.dtype != "int8":
            continue
        axis = _WEIGHTED[op.name]
        channels = weights.shape[axis] if axis < len(weights.shape) else 0
        if any(weights.zero_points):
            yield at(op), "its weights have a zero point other than 0"
        if len(weights.scales) not in (1, channels):
            yield at(op), f"its weights have {len(weights.scales)} scales for {channels} channels"
        elif len(weights.scales) > 1 and weights.axis != axis:
            yield at(op), f"its weights are quantized along axis {weights.axis}, not {axis}"
        try:
            low = int(weights.values().min())
        except (UsageError, ValueError):
            yield at(op), "its weights are not stored in the file"
        else:
            if low < -127:
                yield at(op), f"its weights reach {low}; symmetric int8 ends at -127"


def _bias(model: TFLiteModel, tolerance: float = 1e-6) -> Iterator[tuple[str, str]]:
    for op, inputs, weights, bias in _weighted(model):
        if bias is None or weights.dtype != "int8":
            continue
        if bias.dtype != "int32" or any(bias.zero_points):
            yield at(op), f"its bias is {bias.dtype} with zero points {set(bias.zero_points)}"
        elif not bias.is_constant:
            yield at(op), "its bias is not stored in the file"
        elif len(bias.scales) != len(weights.scales) or not all(
            _near(found, (inputs.scale or 0.0) * scale, tolerance)
            for found, scale in zip(bias.scales, weights.scales, strict=True)
        ):
            yield at(op), "its bias scale is not input scale x weight scale"


def _lost_class(model: TFLiteModel) -> Iterator[tuple[str, str]]:
    op = find_post_process(model)
    if op is not None and loses_a_class(model):
        yield (
            at(op),
            "it suppresses each class alone: with n threads, TFLite and LiteRT leave out class n "
            "(tensorflow/tensorflow issue 56058)",
        )


def _weighted(model: TFLiteModel) -> Iterator[tuple[Operator, Tensor, Tensor, Tensor | None]]:
    """Each operator with weights: the operator, its input, weights and bias."""
    for op in model.operators:
        if op.name in _WEIGHTED and len(op.inputs) > 1:
            has_bias = len(op.inputs) > 2 and op.inputs[2] >= 0
            bias = model.tensors[op.inputs[2]] if has_bias else None
            yield op, model.tensors[op.inputs[0]], model.tensors[op.inputs[1]], bias


def _near(found: float, wanted: float, tolerance: float = 1e-6) -> bool:
    return math.isclose(found, wanted, rel_tol=tolerance)  # float32 keeps 6e-8


INT8_RULES = (
    Rule("one-subgraph", _subgraphs, "write the network as one graph without control flow"),
    Rule("static-shape", _dynamic, "convert with fixed sizes and batch 1"),
    Rule("batch-1", _batch, "convert with batch 1"),
    Rule("no-float", _float_inside, "give every tensor a range before converting"),
    Rule(
        "float-ends",
        _float_ends,
        "`edgekit build --io uint8` saves the conversion on the device",
        WARNING,
    ),
    Rule("8-bit", _types, "convert with int8 activations and int32 biases"),
    Rule("no-pad-no-transpose", _left_over, "use SAME padding and NHWC throughout"),
    Rule(
        "padding",
        _padding,
        "weights trained with TensorFlow's padding (Keras, tf_efficientnet) save the operator",
        WARNING,
    ),
    Rule("fused-activation", _loose_activation, "quantize after the activation, not before it"),
    Rule("no-custom", _custom, "use built-in operators only, or check the file before compilation"),
    Rule("lost-class", _lost_class, "run it with one thread, or without use_regular_nms", WARNING),
    Rule("op-version", too_new, "older runtimes, and compilers that embed them, cannot read it"),
    Rule("activation-scale", _activation_scale, "one positive scale and zero point per tensor"),
    Rule("fixed-scale", fixed_scale, "give a sigmoid the range 0 to 255/256"),
    Rule("same-scale", _same_scale, "give both sides of the operator one range"),
    Rule(
        "sum-scales",
        _sum_scales,
        "XNNPACK leaves the sum to a slower kernel; give its terms scales of 1/1024 to 256 times "
        "the sum's",
        WARNING,
    ),
    Rule("weights", _weights, "symmetric int8 weights, -127 to 127, per output channel"),
    Rule("bias", _bias, "int32 bias with scale = input scale x weight scale"),
)

MIXED_RULES = (
    *(
        replace(rule, find=partial(_bias, tolerance=BIAS_TOLERANCE))
        if rule.name == "bias"
        else rule
        for rule in INT8_RULES
        if rule.name != "no-float"
    ),
    Rule("one-type", _half_float, "convert between the types before and behind the operator"),
)
