"""TFLite's 8-bit arithmetic."""

import numpy as np
import pytest

from edgekit.networks.graph import QuantParams
from edgekit.networks.quantization import (
    activation_params,
    asymmetric,
    bias_params,
    integers,
    reals,
    weight_params,
)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (-127 / 128, 1.0, 1 / 128, -1),  # Lite's input: pixel - 127 over 128
        (0.0, 255.0, 1.0, -128),  # raw pixels
        (0.0, 255 / 256, 1 / 256, -128),  # LOGISTIC
        (0.0, 6.0, 6 / 255, -128),
        (-1.0, 1.0, 2 / 255, 0),
        (2.0, 4.0, 4 / 255, -128),  # widened to hold zero
        (-4.0, -2.0, 4 / 255, 127),
    ],
)
def test_activation_params(low, high, scale, zero_point):
    params = activation_params(low, high)
    assert params.scale[0] == pytest.approx(scale, rel=1e-6)
    assert params.zero_point == (zero_point,)


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [
        (-1.0, 0.5, 1 / 32767),
        (0.0, 32767 / 32768, 1 / 32768),  # LOGISTIC
        (-3.0, 6.0, 6 / 32767),
        (0.0, 0.0, 1e-9),
    ],
)
def test_activation_params_in_16_bits(low, high, scale):
    params = activation_params(low, high, "int16")
    assert params.scale[0] == pytest.approx(scale, rel=1e-6)
    assert (params.zero_point, params.dtype) == ((0,), "int16")


def test_a_scale_of_16_bits_that_is_prescribed_is_exact():
    assert activation_params(0.0, 32767 / 32768, "int16").scale == (1 / 32768,)


def test_zero_is_represented_exactly():
    rng = np.random.default_rng(0)
    low, high = -rng.uniform(0, 5, 200), rng.uniform(0, 5, 200)
    scale, zero_point = asymmetric(low, high)
    assert ((zero_point >= -128) & (zero_point <= 127)).all()
    # The grid covers the range to within half a step.
    assert ((127 - zero_point) * scale >= high - scale).all()
    assert ((-128 - zero_point) * scale <= low + scale).all()


def test_a_constant_zero_tensor_gets_a_finite_scale():
    params = activation_params(0.0, 0.0)
    assert params.scale[0] > 0
    assert np.isfinite(1 / np.float32(params.scale[0]))


def test_weights_are_symmetric_per_channel():
    kernel = np.zeros((1, 1, 2, 3), np.float32)
    kernel[0, 0, :, 0] = [1.27, -0.5]
    kernel[0, 0, :, 1] = [-2.54, 1.0]
    kernel[0, 0, :, 2] = [0.127, 0.0]
    params = weight_params(kernel, np.zeros(3, np.float32), 0.1, per_tensor=False)
    np.testing.assert_allclose(params.scale, [0.01, 0.02, 0.001], rtol=1e-6)
    assert params.zero_point == (0, 0, 0)
    assert params.axis == 3
    np.testing.assert_array_equal(integers(kernel, params)[0, 0, 0], [127, -127, 127])
    np.testing.assert_allclose(reals(kernel, params), kernel, atol=0.01)


def test_a_fully_connected_kernel_has_one_scale():
    kernel = np.array([[1.27, -0.5], [0.3, 2.54]], np.float32)
    params = weight_params(kernel, np.zeros(2, np.float32), 0.1, per_tensor=True)
    np.testing.assert_allclose(params.scale, [0.02], rtol=1e-6)
    assert params.axis is None


def test_a_dead_channels_bias_still_fits_int32():
    kernel = np.zeros((1, 1, 1, 2), np.float32)
    kernel[..., 0] = 1e-12
    bias = np.array([5.0, 0.0], np.float32)
    weights = weight_params(kernel, bias, 0.02, per_tensor=False)
    params = bias_params(0.02, weights)
    held = integers(bias, params)
    assert abs(int(held[0])) <= 2**30
    np.testing.assert_allclose(held * np.array(params.scale), bias, rtol=1e-6, atol=1e-9)


def test_a_bias_has_the_accumulators_scale():
    weights = QuantParams((0.5, 0.25), (0, 0), axis=3)
    params = bias_params(0.1, weights)
    assert params.dtype == "int32"
    assert params.scale == pytest.approx((0.05, 0.025))
    np.testing.assert_array_equal(integers(np.array([1.0, -1.0]), params), [20, -40])


def test_a_bias_of_64_bits_keeps_what_32_cannot():
    weights = QuantParams((1e-6,), (0,))
    params = bias_params(1e-6, weights, "int64")
    assert params.dtype == "int64"
    held = integers(np.array([3.0, -3.0], np.float32), params)
    assert held.dtype == np.int64
    np.testing.assert_array_equal(held, [3 * 10**12, -3 * 10**12])
    np.testing.assert_allclose(reals(np.array([3.0]), params), [3.0], rtol=1e-6)
    clipped = integers(np.array([3.0]), bias_params(1e-6, weights))
    np.testing.assert_array_equal(clipped, [2**31 - 1])


def test_a_bias_of_64_bits_stays_within_the_kernels_accumulators():
    params = QuantParams((1.0,), (0,), "int64")
    np.testing.assert_array_equal(integers(np.array([1e30, -1e30]), params), [2**47 - 1, 1 - 2**47])
    kernel = np.full((1, 1, 1, 1), 1e-12, np.float32)
    bias = np.array([5.0], np.float32)
    scales = [
        weight_params(kernel, bias, 1e-4, per_tensor=False, bias_dtype=dtype).scale[0]
        for dtype in ("int32", "int64")
    ]
    assert scales[0] > 1000 * scales[1]  # only a bias of 32 bits needs a coarser kernel
