"""The arithmetic of TFLite's 8-bit scheme (source: TFLite's quantization specification).

int8 activations: per tensor, asymmetric. int8 weights: symmetric, zero point 0, -127 … 127.
int32 biases: scale = input scale times weight scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import Array, QuantParams

Reals = NDArray[np.float64]

INT8_MIN, INT8_MAX, WEIGHT_MAX = -128, 127, 127
#: Room for a bias in its int32, and for the accumulator that is added to it.
BIAS_MAX = 2.0**30
#: The smallest scale: keeps a constant zero tensor's arithmetic finite in float32.
SMALLEST_SCALE = 1e-9


def asymmetric(low: Reals | float, high: Reals | float) -> tuple[Reals, NDArray[np.int64]]:
    """Scales and zero points that cover ``[low, high]`` and represent zero exactly."""
    low = np.minimum(np.asarray(low, np.float64), 0.0)
    high = np.maximum(np.asarray(high, np.float64), 0.0)
    scale = np.maximum((high - low) / (INT8_MAX - INT8_MIN), SMALLEST_SCALE)
    zero_point = np.clip(np.rint(INT8_MIN - low / scale), INT8_MIN, INT8_MAX)
    return scale, zero_point.astype(np.int64)


def activation_params(low: float, high: float) -> QuantParams:
    """Parameters of an activation with the range ``[low, high]``, widened to hold zero."""
    scale, zero_point = asymmetric(low, high)
    return QuantParams((float(np.float32(scale)),), (int(zero_point),))


def weight_params(
    kernel: Array, bias: Array, input_scale: float, *, per_tensor: bool
) -> QuantParams:
    """Symmetric parameters of a kernel whose last axis is the output channel.

    A nearly dead channel would get a scale so small that its bias overflows int32 (the Edge
    TPU compiler then stops with ``no_integer_overflow_from_quantization``): its scale is
    raised until the bias fits.
    """
    channels = kernel.shape[-1]
    largest = np.abs(kernel.reshape(-1, channels)).max(0).astype(np.float64)
    scale = np.maximum(largest / WEIGHT_MAX, np.abs(bias) / (BIAS_MAX * input_scale))
    scale = np.maximum(scale, SMALLEST_SCALE)
    if per_tensor:
        scale = scale.max(keepdims=True)
    return QuantParams(
        tuple(float(value) for value in scale.astype(np.float32)),
        (0,) * len(scale),
        axis=None if per_tensor else kernel.ndim - 1,
    )


def bias_params(input_scale: float, weights: QuantParams) -> QuantParams:
    """int32 parameters: the accumulator's own scale."""
    scales = tuple(input_scale * scale for scale in weights.scale)
    return QuantParams(
        scales, (0,) * len(scales), dtype="int32", axis=None if len(scales) == 1 else 0
    )


def integers(values: Array, params: QuantParams) -> NDArray[np.int32]:
    """Rounds reals to the integers that stand for them (weights and biases)."""
    limit = WEIGHT_MAX if params.dtype == "int8" else 2**31 - 1
    scaled = np.rint(values.astype(np.float64) / np.asarray(params.scale))
    clipped: NDArray[np.int32] = np.clip(scaled, -limit, limit).astype(np.int32)
    return clipped


def reals(values: Array, params: QuantParams) -> NDArray[np.float32]:
    """What the integers of ``values`` stand for, float32."""
    result: NDArray[np.float32] = (integers(values, params) * np.asarray(params.scale)).astype(
        np.float32
    )
    return result
