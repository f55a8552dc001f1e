"""The fixed-point helpers against exact arithmetic with fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from edgekit.parity.fixed_point import (
    divide_ties_away,
    divide_ties_up,
    multiply_by_lanes,
    multiply_ties_away,
    multiply_ties_up,
    quantize_multiplier,
    round_half_away,
)


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.3, 1e-6, 123.4, 1 - 2**-40, 2**-31])
def test_a_factor_keeps_31_bits(factor):
    multiplier, shift = quantize_multiplier(factor)
    assert 2**30 <= multiplier < 2**31
    assert Fraction(multiplier) * Fraction(2) ** (shift - 31) == pytest.approx(factor, rel=2**-31)


def test_a_factor_below_the_smallest_is_zero():
    assert quantize_multiplier(2.0**-40) == (0, 0)


@pytest.mark.parametrize("exponent", [0, 1, 3])
def test_divisions_differ_at_negative_ties_only(exponent):
    x = np.arange(-40, 41)
    exact = [Fraction(int(v), 2**exponent) for v in x]
    assert divide_ties_away(x, exponent).tolist() == [round_half_away(float(v)) for v in exact]
    up = [math.floor(v + Fraction(1, 2)) for v in exact]
    assert divide_ties_up(x, exponent).tolist() == up


def test_lanes_round_as_their_kind_does():
    multiplier, shift = quantize_multiplier(0.25)
    x = np.full(11, -2)  # a tie
    assert multiply_ties_up(x, multiplier, shift).tolist() == [0] * 11
    assert multiply_ties_away(x, multiplier, shift).tolist() == [-1] * 11
    assert multiply_by_lanes(x, multiplier, shift, 4).tolist() == [0] * 8 + [-1] * 3
