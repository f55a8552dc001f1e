"""The quantization of a .tflite file in a word, from all of its weights, scales and operators."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from edgekit.converters.tflite.detections import POST_PROCESS
from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel

#: Where an operator has its weights, and where what they are multiplied with.
_WEIGHTED = {
    "CONV_2D": ((1,), 0),
    "DEPTHWISE_CONV_2D": ((1,), 0),
    "FULLY_CONNECTED": ((1,), 0),
    "BATCH_MATMUL": ((1,), 0),
    "CONV_3D": ((1,), 0),
    "TRANSPOSE_CONV": ((1,), 2),
    "CONV_3D_TRANSPOSE": ((1,), 2),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (tuple(range(1, 9)), 0),
    "BIDIRECTIONAL_SEQUENCE_LSTM": (tuple(range(1, 9)), 0),
    "UNIDIRECTIONAL_SEQUENCE_RNN": ((1, 2), 0),
    "LSTM": (tuple(range(1, 9)), 0),
    "RNN": ((1, 2), 0),
    "SVDF": ((1, 2), 0),
}
_BORDERS = ("QUANTIZE", "DEQUANTIZE")
_FLOATS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
#: Kernels with fewer weights stay in float where a converter quantizes weights alone
#: (TensorFlow's quantize_weights, weights_min_num_elements).
_FEW_WEIGHTS = 1024
_STATIC = {"int8": "a8-static", "uint8": "a8-static-uint8", "int16": "a16-static"}
_WORDS = (
    (r"w(\d+)-weight-only", r"int\1 weights, which become float before they are used"),
    (r"w(\d+)-dynamic", r"int\1 weights, float activations that each run quantizes"),
    (r"w(\d+)a8-static-uint8", r"uint8 weights and activations, in the scheme before int8"),
    (r"w(\d+)a(\d+)-static", r"int\1 weights, int\2 activations"),
    (r"fp(\d+)", r"float\1 weights"),
    (r"mixed", "operators differ in their types"),
)


@dataclass(frozen=True)
class Weights:
    """The weights of one operator.

    Attributes:
        scheme: of this operator alone, such as "w8a8-static".
        count: how many numbers they are.
    """

    operator: Operator
    scheme: str
    count: int


def scheme(model: TFLiteModel) -> str:
    """Names the quantization, as the file itself shows it; "mixed" where operators differ."""
    weights = list(list_weights(model))
    found = {one.scheme for one in weights}
    if _is_weights_alone(found, weights):
        return next(name for name in found if name != "fp32")
    computing = (op for op in model.operators if op.name not in (*_BORDERS, POST_PROCESS))
    inside = {model.tensors[i].dtype for op in computing for i in op.outputs}
    if found and found <= {"w8a8-static", "fp32"} and inside >= {"int8", "float32"}:
        return "mixed"  # also where no operator with weights shows it
    return found.pop() if len(found) == 1 else "mixed" if found else "unknown"


def scheme_in_words(name: str) -> str:
    """What a scheme's name says, for people; the name itself where it is another."""
    plain, _, block = name.partition("-blocks")
    for pattern, words in _WORDS:
        if match := re.fullmatch(pattern, plain):
            said = match.expand(words)
            return f"{said}; a scale for each block of {block} weights" if block else said
    return name


def count_schemes(model: TFLiteModel) -> dict[str, int]:
    """How many operators with weights there are of each scheme."""
    return dict(Counter(one.scheme for one in list_weights(model)))


def list_weights(model: TFLiteModel) -> Iterator[Weights]:
    """The weights of every operator that has some in the file, in the order of the operators."""
    constants = _dequantized(model)
    for op in model.operators:
        places, source = _WEIGHTED.get(op.name, ((), 0))
        if source >= len(op.inputs) or op.inputs[source] < 0:
            continue
        given = model.tensors[op.inputs[source]].dtype
        for place in places:
            if place >= len(op.inputs) or op.inputs[place] < 0:
                continue
            used = model.tensors[op.inputs[place]]
            stored = constants.get(used.index, used)
            yield Weights(op, _scheme_of(stored, used, given), math.prod(stored.shape))


def _dequantized(model: TFLiteModel) -> dict[int, Tensor]:
    """By a tensor that DEQUANTIZE makes of a constant: that constant."""
    return {
        op.outputs[0]: model.tensors[op.inputs[0]]
        for op in model.operators
        if op.name == "DEQUANTIZE" and op.inputs and op.outputs
        if op.inputs[0] >= 0 and model.tensors[op.inputs[0]].is_constant
    }


def _scheme_of(stored: Tensor, used: Tensor, given: str) -> str:
    """The scheme of one operator by its weights as stored and as used, and its input's type."""
    if stored.dtype in _FLOATS:
        return _FLOATS[stored.dtype] if given in _FLOATS else "mixed"
    bits = re.fullmatch(r"u?int(\d+)", stored.dtype)
    if bits is None:
        return "mixed"
    width = f"w{bits[1]}"
    blocks = f"-blocks{stored.block_size}" if stored.block_size else ""
    if given in _FLOATS:
        return width + ("-weight-only" if stored is not used else "-dynamic") + blocks
    fits = stored.dtype.startswith("u") == (given == "uint8")
    return width + _STATIC[given] + blocks if fits and given in _STATIC else "mixed"


def _is_weights_alone(found: set[str], weights: list[Weights]) -> bool:
    """Whether a file with quantized weights and float activations has but a float rest."""
    if len(found) != 2 or "fp32" not in found:
        return False
    (name,) = found - {"fp32"}
    if name != "fp16" and "-dynamic" not in name and "-weight-only" not in name:
        return False
    in_float = [one.count for one in weights if one.scheme == "fp32"]
    total = sum(one.count for one in weights)
    return max(in_float) < _FEW_WEIGHTS or sum(in_float) < total / 2
