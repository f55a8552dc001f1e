"""Real factors as integers: the fixed-point arithmetic of TFLite's int8 kernels.

A real factor is stored as ``multiplier * 2**(shift - 31)`` with the int32 multiplier in
``[2**30, 2**31)``. Kernels apply it to an int32 sum in two roundings: a doubling high product,
ties up, then a division by a power of two. Reference code rounds the ties of the division away
from zero (gemmlowp: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2 and appendix B); vector code with a
rounding shift rounds them up. The two differ by one step, at negative ties only. Which kernel of
LiteRT does which stands in `edgekit.parity.integer_kernels`.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]


def quantize_multiplier(factor: float) -> tuple[int, int]:
    """Splits a real factor into an int32 multiplier and a shift to the left.

    TFLite's ``QuantizeMultiplier``.

    Returns:
        ``multiplier`` in [2**30, 2**31) and ``shift``, with
        ``factor ≈ multiplier * 2**(shift - 31)``; zeros for factors below 2**-32.
    """
    fraction, shift = math.frexp(factor)
    multiplier = round_half_away(fraction * 2.0**31)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    return (multiplier, shift) if shift >= -31 else (0, 0)


def quantize_multipliers(factors: NDArray[np.float64]) -> tuple[Integers, Integers]:
    """`quantize_multiplier` for each of several factors [n]: two arrays [n]."""
    pairs = np.array([quantize_multiplier(float(f)) for f in factors], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def round_half_away(value: float) -> int:
    """C's ``round``: to the nearest integer, ties away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def doubling_high_mul(x: Integers, multiplier: Any) -> Integers:
    """Returns ``x * multiplier / 2**31``, ties up.

    gemmlowp's ``SaturatingRoundingDoublingHighMul``, whose saturating case, both factors
    -2**31, does not occur: multipliers are positive.
    """
    result: Integers = (x * multiplier + (1 << 30)) >> 31
    return result


def divide_ties_up(x: Integers, exponent: Any) -> Integers:
    """``x / 2**exponent``, ties up: what a rounding shift instruction does."""
    half = (np.int64(1) << np.asarray(exponent, np.int64)) >> 1
    result: Integers = (x + half) >> exponent
    return result


def divide_ties_away(x: Integers, exponent: Any) -> Integers:
    """``x / 2**exponent``, ties away from zero: gemmlowp's ``RoundingDivideByPOT``."""
    # Half up, but for negative numbers half down: one less is added.
    half = (np.int64(1) << np.asarray(exponent, np.int64)) >> 1
    result: Integers = (x + half - ((x < 0) & (half > 0))) >> exponent
    return result


def multiply_ties_away(x: Integers, multiplier: Any, shift: Any) -> Integers:
    """Returns ``x * multiplier * 2**(shift - 31)``, ties of the division away from zero.

    TFLite's ``MultiplyByQuantizedMultiplier``.

    Args:
        x: int32 values in int64.
        multiplier: a number, or an array that broadcasts.
        shift: to the left; likewise.
    """
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    return divide_ties_away(doubling_high_mul(x << left, multiplier), right)


def multiply_ties_up(x: Integers, multiplier: Any, shift: Any) -> Integers:
    """As `multiply_ties_away`, but with ties up."""
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    return divide_ties_up(doubling_high_mul(x << left, multiplier), right)


def multiply_by_lanes(x: Integers, multiplier: Any, shift: Any, lanes: int) -> Integers:
    """What a kernel does whose vector and scalar code round differently.

    Args:
        x: [..., channels].
        multiplier: a number, or one per channel.
        shift: likewise.
        lanes: of a vector: whole vectors of channels have ties up, what is left has not.
    """
    multiplier, shift = (np.broadcast_to(v, x.shape[-1:]) for v in (multiplier, shift))
    end = x.shape[-1] // lanes * lanes
    parts = [
        multiply_ties_up(x[..., :end], multiplier[:end], shift[:end]),
        multiply_ties_away(x[..., end:], multiplier[end:], shift[end:]),
    ]
    return np.concatenate(parts, axis=-1)
