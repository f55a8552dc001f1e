"""What the operators of a .tflite file compute and hold: multiply-accumulates and bytes."""

from __future__ import annotations

import math

import numpy as np

from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel


def macs(model: TFLiteModel, op: Operator) -> int:
    """Multiply-accumulates of one operator; 0 for those that are no convolution or product."""
    if op.is_custom or len(op.inputs) < 2 or not op.outputs or op.inputs[1] < 0:
        return 0
    weights = model.tensors[op.inputs[1]].shape  # OHWI, 1HWC or OI
    output = _count(model.tensors[op.outputs[0]].shape)
    match op.name, len(weights):
        case "CONV_2D", 4:
            return output * math.prod(weights[1:])
        case "DEPTHWISE_CONV_2D", 4:
            return output * math.prod(weights[1:3])
        case "FULLY_CONNECTED", 2:
            return output * weights[1]
        case "TRANSPOSE_CONV", 4 if len(op.inputs) > 2:  # its inputs: output shape, weights, map
            return _count(model.tensors[op.inputs[2]].shape) * math.prod(weights[:3])
    return 0


def parameter_bytes(model: TFLiteModel, op: Operator) -> int:
    """Bytes of the weights and biases that one operator reads; axes and sizes are none."""
    constants = (model.tensors[i] for i in sorted({*op.inputs}) if i >= 0)
    return sum(tensor.nbytes for tensor in constants if tensor.scales or "float" in tensor.dtype)


def activation_bytes(tensor: Tensor) -> int:
    """Bytes that an activation takes; 0 for a type without a fixed size.

    Sizes that are only known at run time count as 1.
    """
    try:
        return _count(tensor.shape) * np.dtype(tensor.dtype).itemsize
    except TypeError:
        return 0


def _count(shape: tuple[int, ...]) -> int:
    return math.prod(max(size, 1) for size in shape)
