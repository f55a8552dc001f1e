"""TFLite's int8 operators in numpy integers, each equal to LiteRT's built-in kernel bit by bit.

The scheme is that of TensorFlow Lite's 8-bit quantization specification: int32 sums of products
of (integer - zero point), a bias on the same scale, a fixed-point factor
(`edgekit.parity.fixed_point`), the output's zero point, the range of the fused activation.
What the specification leaves open was found by comparison with LiteRT 2.3 on x86-64
(tests/parity/test_integer_kernels.py):

| operator | rounding of the factor | besides |
|---|---|---|
| CONV_2D, FULLY_CONNECTED | ties up | factor in float64 |
| DEPTHWISE_CONV_2D | ties up for whole vectors of 8 channels, else away from zero | |
| ADD | ties away from zero, three times; twice in vectors of 16 | inputs shifted left by 20 bits |
| MUL | ties away from zero | factor in float32 |
| MEAN that keeps its dimensions | ties up for whole vectors of 16, else away from zero | |
| other MEAN | ties away from zero | the division by the count is part of the factor |
| AVERAGE_POOL_2D | ties away from the integer zero, whatever the zero point | |
| QUANTIZE | ties up for whole vectors of 16, else away from zero | |
| DEQUANTIZE | of the product with the scale | in vectors of 8, of the zero point's, too |
| LOGISTIC | a table of 256 entries computed in float32 | |

Those of whole maps are in `edgekit.parity.map_kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgekit.converters.tflite.detections import find_post_process
from edgekit.converters.tflite.file import Operator, Tensor, TFLiteModel
from edgekit.errors import UsageError
from edgekit.parity import map_kernels
from edgekit.parity.box_kernels import find_boxes
from edgekit.parity.fixed_point import (
    Integers,
    doubling_high_mul,
    multiply_by_lanes,
    multiply_ties_away,
    multiply_ties_up,
    quantize_multiplier,
    quantize_multipliers,
    round_half_away,
)

Array: TypeAlias = NDArray[Any]
#: Maps an operator and its inputs (tensor and value of each; None if absent) to its output.
Kernel: TypeAlias = Callable[[Operator, Sequence[Tensor], Tensor, Sequence[Array]], Array]

#: ADD brings its inputs to a common scale with this many bits to spare.
ADD_LEFT_SHIFT = 20
#: Channels (QUANTIZE, DEQUANTIZE, ADD: values) that a kernel's vector code takes at a time.
DEPTHWISE_LANES, MEAN_LANES, QUANTIZE_LANES = 8, 16, 16
ADD_LANES, DEQUANTIZE_LANES = 16, 8


def run_operator(
    model: TFLiteModel, operator: Operator, values: Mapping[int, Array], *, xnnpack: bool = False
) -> Array:
    """Executes one operator.

    Args:
        model: the file that it is in; constants are read from it.
        operator: of that model.
        values: the activations that it reads, by tensor index, [n, …] in their file types.
        xnnpack: whether XNNPACK's kernel is wanted where it is more than a step from LiteRT's own.

    Returns:
        Its output, in its type, with as many items as the inputs have.

    Raises:
        UsageError: there is no such kernel here, or the operator is not a quantized one.
    """
    if operator.name not in KERNELS or operator.is_custom or len(operator.outputs) != 1:
        raise UsageError(
            f"no integer kernel for {operator.index} {operator.name}",
            cause="one of " + ", ".join(sorted(KERNELS)),
        )
    tensors = [model.tensors[index] for index in operator.inputs if index >= 0]
    arrays = _read(tensors, values)
    kernels = KERNELS | XNNPACK if xnnpack else KERNELS
    return kernels[operator.name](operator, tensors, model.tensors[operator.outputs[0]], arrays)


def run_outputs(
    model: TFLiteModel, operator: Operator, values: Mapping[int, Array], *, xnnpack: bool = False
) -> list[Array]:
    """As `run_operator`, with all outputs, also of TFLite's detection operator, which is float."""
    if operator != find_post_process(model):
        return [run_operator(model, operator, values, xnnpack=xnnpack)]
    return find_boxes(operator, _read([model.tensors[i] for i in operator.inputs], values))


def _read(tensors: Sequence[Tensor], values: Mapping[int, Array]) -> list[Array]:
    """Activations by tensor index, and constants by themselves."""
    return [values[t.index] if t.index in values else t.values() for t in tensors]


def run_model(model: TFLiteModel, fed: Array) -> dict[int, Array]:
    """Executes a whole file with one input.

    Args:
        model: the file.
        fed: what its input is given, [n, …] in the input's type; n need not be 1.

    Returns:
        Every activation by tensor index, among them the model's input and outputs.
    """
    values: dict[int, Array] = {model.inputs[0]: fed}
    for operator in model.operators:
        outputs = run_outputs(model, operator, values)
        values |= dict(zip(operator.outputs, outputs, strict=True))
    return values


def _convolve(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    kernel = arrays[1]
    x = _windows(op, tensors[0], arrays[0], kernel.shape[1], kernel.shape[2])
    # Sums of int8 products are exact in float64, and matrix products of floats are fast.
    weights = kernel.reshape(len(kernel), -1).T.astype(np.float64)
    columns = np.ascontiguousarray(x.transpose(0, 1, 2, 4, 5, 3), np.float64)
    sums = (columns.reshape(-1, len(weights)) @ weights).astype(np.int64)
    sums = sums.reshape(*x.shape[:3], -1)
    return _scale_sums(op, tensors, output, arrays, sums, multiply_ties_up)


def _convolve_depthwise(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    kernel = arrays[1][0].astype(np.int64)
    x = _windows(op, tensors[0], arrays[0], *kernel.shape[:2])
    sums = np.zeros((*x.shape[:3], kernel.shape[2]), np.int64)
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            sums += x[..., row, column] * kernel[row, column]
    return _scale_sums(op, tensors, output, arrays, sums, _depthwise_rounding)


def _depthwise_rounding(sums: Integers, multiplier: Any, shift: Any) -> Integers:
    return multiply_by_lanes(sums, multiplier, shift, DEPTHWISE_LANES)


def _fully_connected(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    x = arrays[0].astype(np.float64) - (tensors[0].zero_point or 0)
    sums = (x.reshape(len(x), -1) @ arrays[1].T.astype(np.float64)).astype(np.int64)
    return _scale_sums(op, tensors, output, arrays, sums, multiply_ties_up)


def _scale_sums(
    op: Operator,
    tensors: Sequence[Tensor],
    output: Tensor,
    arrays: Sequence[Array],
    sums: Integers,
    multiply: Callable[[Integers, Any, Any], Integers],
) -> Array:
    """Bias, scale to the output's steps, zero point, clamp."""
    if len(arrays) > 2:
        sums = sums + arrays[2]
    scales = np.array(tensors[1].scales, np.float64)
    factors = scales * _scale(tensors[0]) / _scale(output)
    return _clamp(op, output, multiply(sums, *quantize_multipliers(factors)))


def _windows(op: Operator, tensor: Tensor, x: Array, height: int, width: int) -> Array:
    """Every window of a padded input less its zero point: a view [n, rows, columns, c, h, w]."""
    return _strided(op, x.astype(np.int16) - np.int16(tensor.zero_point or 0), height, width)


def _strided(op: Operator, x: Array, height: int, width: int, padding: int = 0) -> Array:
    """Every window of a padded input: a view [n, rows, columns, c, h, w]."""
    strides = (op.options["stride_h"], op.options["stride_w"])
    down, right = (op.options.get(f"dilation_{side}_factor", 1) for side in "hw")
    height, width = (height - 1) * down + 1, (width - 1) * right + 1
    if op.options["padding"] == 0:  # SAME
        pads = []
        for side, kernel, stride in zip(x.shape[1:3], (height, width), strides, strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=padding)
    windows = sliding_window_view(x, (height, width), (1, 2))
    return windows[:, :: strides[0], :: strides[1], :, ::down, ::right]


def _average_pool(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    sides = (op.options["filter_height"], op.options["filter_width"])
    sums = _strided(op, arrays[0].astype(np.int64), *sides).sum((-2, -1))
    # Padding does not count.
    counts = _strided(op, np.ones_like(arrays[0][:1], np.int64), *sides).sum((-2, -1))
    means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
    return _clamp(op, output, means - (output.zero_point or 0))


def _max_pool(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    sides = (op.options["filter_height"], op.options["filter_width"])
    lowest = int(np.iinfo(output.dtype).min)
    largest = _strided(op, arrays[0].astype(np.int64), *sides, lowest).max((-2, -1))
    return _clamp(op, output, largest - (output.zero_point or 0))


def _reshape(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    return arrays[0].reshape(len(arrays[0]), *output.shape[1:])


def _add(op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]) -> Array:
    twice = 2 * max(_scale(tensor) for tensor in tensors)
    arrays = np.broadcast_arrays(*arrays)
    end = arrays[0][0].size // ADD_LANES * ADD_LANES
    total: Any = 0
    # Vector code shifts an input by less where its factor is small; what is left is rounded twice.
    for tensor, array in zip(tensors, arrays, strict=True):
        x = array.astype(np.int64).reshape(len(array), -1) - (tensor.zero_point or 0)
        multiplier, shift = quantize_multiplier(_scale(tensor) / twice)
        up, down = max(ADD_LEFT_SHIFT + shift, 0), max(-ADD_LEFT_SHIFT - shift, 0)
        whole = doubling_high_mul(x[:, :end] << up >> down, multiplier)
        rest = multiply_ties_away(x[:, end:] << ADD_LEFT_SHIFT, multiplier, shift)
        total += np.concatenate([whole, rest], axis=1)
    factor = twice / ((1 << ADD_LEFT_SHIFT) * _scale(output))
    sums = multiply_ties_away(total, *quantize_multiplier(factor))
    return _clamp(op, output, sums.reshape(arrays[0].shape))


def _multiply(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    a, b = (
        array.astype(np.int64) - (tensor.zero_point or 0)
        for tensor, array in zip(tensors, arrays, strict=True)
    )
    # The kernel computes this factor in float32.
    first, second, out = (np.float32(_scale(tensor)) for tensor in (*tensors, output))
    factor = float(first * second / out)
    return _clamp(op, output, multiply_ties_away(a * b, *quantize_multiplier(factor)))


def _logistic(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    # A table of 256 entries, computed in float32 when the model is loaded.
    steps = np.arange(-128, 128, dtype=np.float32) - np.float32(tensors[0].zero_point or 0)
    x = np.float32(_scale(tensors[0])) * steps
    with np.errstate(over="ignore"):
        y = np.float32(1) / (np.float32(1) + np.exp(-x))
    scaled = y * (np.float32(1) / np.float32(_scale(output)))
    table = np.floor(scaled + np.float32(0.5)) + np.float32(output.zero_point or 0)
    clipped = np.clip(table, -128, 127).astype(np.int8)
    result: Array = clipped[arrays[0].astype(np.int16) + 128]
    return result


def _mean(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    x = arrays[0].astype(np.int64)
    axes = tuple(sorted(int(axis) % x.ndim for axis in arrays[1].ravel()))
    keep_dims = bool(op.options.get("keep_dims"))
    count = math.prod(x.shape[axis] for axis in axes)
    sums = x.sum(axes, keepdims=keep_dims)
    zero_point = tensors[0].zero_point or 0
    if keep_dims and axes == (1, 2) and x.ndim == 4:
        # The kernel of its own for this case computes its factors in float32, and rounds what
        # the zero point contributes to a whole step.
        scale, out = np.float32(_scale(tensors[0])), np.float32(_scale(output))
        bias = round_half_away(float(np.float32(zero_point) * scale / out))
        factor = float(scale / (np.float32(count) * out))
        steps = multiply_by_lanes(sums, *quantize_multiplier(factor), MEAN_LANES)
        return _clamp(op, output, steps - bias)
    multiplier, shift = quantize_multiplier(_scale(tensors[0]) / _scale(output))
    # The division by the count goes into the multiplier, with as many bits as there are.
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    multiplier, shift = (multiplier << bits) // count, shift - bits
    steps = multiply_ties_away(sums - count * zero_point, multiplier, shift)
    return _clamp(op, output, steps)


def _pad(op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]) -> Array:
    pads = [(int(before), int(after)) for before, after in arrays[1]]
    return np.pad(arrays[0], pads, constant_values=tensors[0].zero_point or 0)


def _pad_with(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    pads = [(int(before), int(after)) for before, after in arrays[1]]
    return np.pad(arrays[0], pads, constant_values=arrays[2].item())


def _quantize(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    if tensors[0].dtype == "float32":
        scaled = arrays[0] / np.float32(_scale(output))
        rounded = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)
        return _clamp(op, output, rounded.astype(np.int64))
    steps = arrays[0].astype(np.int64) - (tensors[0].zero_point or 0)
    factor = _scale(tensors[0]) / _scale(output)
    flat = steps.reshape(len(steps), -1)  # the kernel does not see channels
    result = multiply_by_lanes(flat, *quantize_multiplier(factor), QUANTIZE_LANES)
    return _clamp(op, output, result.reshape(steps.shape))


def _dequantize(
    op: Operator, tensors: Sequence[Tensor], output: Tensor, arrays: Sequence[Array]
) -> Array:
    x = arrays[0].reshape(len(arrays[0]), -1).astype(np.float32)
    scale, zero_point = np.float32(_scale(tensors[0])), np.float32(tensors[0].zero_point or 0)
    end = x.shape[1] // DEQUANTIZE_LANES * DEQUANTIZE_LANES
    # Vector code multiplies both by the scale, and is off by what the larger is rounded by.
    parts = [x[:, :end] * scale - zero_point * scale, (x[:, end:] - zero_point) * scale]
    return np.concatenate(parts, axis=1).reshape(arrays[0].shape)


def _clamp(op: Operator, output: Tensor, steps: Integers) -> Array:
    """Adds the zero point; keeps to the type and to the fused activation's range."""
    limits = np.iinfo(output.dtype)
    low, high = limits.min, limits.max
    zero_point = output.zero_point or 0
    if op.fused_activation in ("RELU", "RELU6"):
        low = max(low, zero_point)
    if op.fused_activation == "RELU6":
        six = round_half_away(float(np.float32(6) / np.float32(_scale(output))))
        high = min(high, zero_point + six)
    return np.clip(steps + zero_point, low, high).astype(output.dtype)


def _scale(tensor: Tensor) -> float:
    if tensor.scale is None or not tensor.scale > 0:
        raise UsageError(f"the tensor '{tensor.name}' has no scale")
    return tensor.scale


#: XNNPACK's own kernels that are not LiteRT's to one step.
XNNPACK: dict[str, Kernel] = {"RESIZE_BILINEAR": map_kernels.resize_bilinear_of_xnnpack}
KERNELS: dict[str, Kernel] = {
    "ADD": _add,
    "ARG_MAX": map_kernels.arg_max,
    "AVERAGE_POOL_2D": _average_pool,
    "CAST": map_kernels.cast,
    "CONCATENATION": map_kernels.concatenate,
    "CONV_2D": _convolve,
    "DEPTHWISE_CONV_2D": _convolve_depthwise,
    "DEQUANTIZE": _dequantize,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": _max_pool,
    "MEAN": _mean,
    "MUL": _multiply,
    "PAD": _pad,
    "PADV2": _pad_with,
    "QUANTIZE": _quantize,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": map_kernels.resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": map_kernels.resize_nearest,
    "TILE": map_kernels.tile,
}
