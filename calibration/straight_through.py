"""Rounding that gradients pass, for networks that learn where the integers will be.

Source: learned step sizes, Esser et al. 2020 (LSQ, arXiv 1902.08153), equations 1 to 3; rounding a
part of the values alone, Wei et al. 2022 (QDrop, arXiv 2203.05740), section 3.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from edgekit.calibration.simulate import Rounding
from edgekit.networks.graph import QuantParams
from edgekit.networks.quantization import INT8_MAX, INT8_MIN


class _Round(torch.autograd.Function):
    """Rounds and clips to integers; the gradient passes where nothing was clipped.

    The step size gets LSQ's gradient (equation 3): the rounding error inside, the limit outside.
    Values that stay as they are take no part in it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        limits: tuple[int, int],
        round_: Rounding,
        some: Tensor | None,
    ) -> Tensor:
        steps = x / scale
        held = steps.clamp(*limits)
        # 1 or 0: making and reading bools takes many times as long on a CPU.
        clipped = steps.ne_(held)
        rounded = round_(held.clone())
        slope = (rounded - held).addcmul_(rounded, clipped)
        found = rounded.mul_(scale)
        if some is not None:
            clipped.mul_(some)
            slope.mul_(some)
            found = torch.lerp(x, found, some)
        ctx.save_for_backward(clipped, slope)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        clipped, slope = ctx.saved_tensors
        of_scale = (grad * slope).sum()
        return grad.addcmul(grad, clipped, value=-1), of_scale, None, None, None


def round_through(
    x: Tensor, scale: Tensor, params: QuantParams, round_: Rounding, some: Tensor | None = None
) -> Tensor:
    """Rounds an activation to the reals that its int8 integers stand for.

    Args:
        x: float tensor.
        scale: of its integers, a scalar, which may learn.
        params: with their zero point.
        round_: how steps become whole ones.
        some: 1 for the values that are rounded, else 0, of the shape and dtype of ``x``; without it
            all are.
    """
    zero_point = params.zero_point[0]
    limits = INT8_MIN - zero_point, INT8_MAX - zero_point
    return cast(Tensor, _Round.apply(x, scale, limits, round_, some))  # type: ignore[no-untyped-call]


class InSteps(nn.Module):
    """Keeps a bias in steps of its layer's output, so that one rate suits all layers.

    A parametrization of `torch.nn.utils.parametrize`.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, steps: Tensor) -> Tensor:
        """The bias of its steps, [C]."""
        return steps * self.scale

    def right_inverse(self, bias: Tensor) -> Tensor:
        """The steps of a bias, [C]."""
        return bias / self.scale
