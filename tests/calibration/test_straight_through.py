"""Rounding that gradients pass: what comes out, and what the step size learns from."""

import pytest
import torch

from edgekit.calibration.straight_through import InSteps, round_through
from edgekit.networks.graph import QuantParams


def test_the_step_size_has_the_gradient_of_lsq():
    """Esser et al. 2020, equation 3, by hand: the rounding error inside, the limit outside."""
    x = torch.tensor([0.26, 1000.0, -1000.0], requires_grad=True)
    scale = torch.tensor(0.1, requires_grad=True)
    found = round_through(x, scale, QuantParams((0.1,), (0,)), torch.Tensor.round_)
    torch.testing.assert_close(found, torch.tensor([0.3, 12.7, -12.8]))
    found.sum().backward()
    assert scale.grad.item() == pytest.approx((3 - 2.6) + 127 - 128, abs=1e-4)
    assert x.grad.tolist() == [1, 0, 0]


def test_values_that_stay_as_they_are_pass_and_teach_the_step_size_nothing():
    x = torch.tensor([0.26, 1000.0, 0.26, 1000.0], requires_grad=True)
    scale = torch.tensor(0.1, requires_grad=True)
    some = torch.tensor([1.0, 1.0, 0.0, 0.0])
    found = round_through(x, scale, QuantParams((0.1,), (0,)), torch.Tensor.round_, some)
    torch.testing.assert_close(found, torch.tensor([0.3, 12.7, 0.26, 1000.0]))
    found.sum().backward()
    assert scale.grad.item() == pytest.approx((3 - 2.6) + 127, abs=1e-4)
    assert x.grad.tolist() == [1, 0, 1, 1]


def test_the_zero_point_moves_the_limits():
    x = torch.tensor([-1.0, 30.0])
    found = round_through(x, torch.tensor(0.1), QuantParams((0.1,), (-128,)), torch.Tensor.round_)
    torch.testing.assert_close(found, torch.tensor([0.0, 25.5]))


def test_a_bias_in_steps_is_the_same_bias():
    units, bias = InSteps(0.25), torch.tensor([1.0, -3.5])
    assert units.right_inverse(bias).tolist() == [4, -14]
    torch.testing.assert_close(units(units.right_inverse(bias)), bias)
