"""Depthwise convolutions on a CPU: without copies of what they read, with fast gradients.

oneDNN, which computes them there, has fast code for the gradient of a depthwise kernel of at most
three columns over a map no smaller than the kernel, and for that of the map where the stride is 1
or numbers are float32; without it they take 2 to 17 times as long. It pads both ends alike, and
a padded copy of the map takes longer than the convolution (benchmarks/depthwise.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

#: Columns of a kernel whose gradient has fast code.
FAST_COLUMNS = 3
#: Numbers for which a stride has no fast gradient of the map.
HALVES = (torch.bfloat16, torch.float16)

#: Zeros in front of and behind the rows, then the columns, of a map.
Pads = tuple[tuple[int, int], tuple[int, int]]


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, pads: Pads) -> Tensor:
    """The depthwise convolution of a map that lies in a CPU's memory.

    Args:
        x: [n, channels, height, width].
        kernel: [channels, 1, rows, columns].
        bias: [channels], if there is one.
        stride: of rows and columns.
        pads: zeros around the map.
    """
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if not _has_slow_gradient(x, kernel, stride, pads, precision):
        return _convolve(x, kernel, bias, stride, pads)
    # torch casts nothing for a function that is not its own.
    x, kernel = x.to(precision), kernel.to(precision)
    found: Tensor = _Depthwise.apply(x, kernel, stride, pads)  # type: ignore[no-untyped-call]
    return found if bias is None else found + bias.to(precision)[:, None, None]


@torch.fx.wrap
def at_least(x: Tensor, side: int) -> Tensor:
    """Widens a small map with zeros below and to the right; what they give is cut off again."""
    right, below = (max(side - length, 0) for length in (x.shape[3], x.shape[2]))
    return F.pad(x, (0, right, 0, below)) if right or below else x


def _has_slow_gradient(
    x: Tensor, kernel: Tensor, stride: int, pads: Pads, precision: torch.dtype
) -> bool:
    if not torch.is_grad_enabled():
        return False
    columns = kernel.shape[3] + abs(pads[1][1] - pads[1][0])
    if kernel.requires_grad and columns > FAST_COLUMNS:
        return True
    return x.requires_grad and stride > 1 and precision in HALVES


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, pads: Pads) -> Tensor:
    kernel, padding = _pad_alike(kernel, pads)
    return F.conv2d(x, kernel, bias, stride, padding, groups=x.shape[1])


def _pad_alike(kernel: Tensor, pads: Pads) -> tuple[Tensor, tuple[int, int]]:
    """The kernel, and zeros at both ends of the height and of the width.

    Where an end has fewer zeros, the kernel has the others, and meets the same numbers.
    """
    (top, bottom), (left, right) = pads
    zeros = [max(b - a, 0) for a, b in ((left, right), (right, left), (top, bottom), (bottom, top))]
    kernel = F.pad(kernel, zeros) if any(zeros) else kernel
    return kernel, (max(top, bottom), max(left, right))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, pads: Pads) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.stride, ctx.pads = stride, pads
        return _convolve(x, kernel, None, stride, pads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, kernel = ctx.saved_tensors
        of_x = of_kernel = None
        if ctx.needs_input_grad[0]:
            of_x = _of_map(x, kernel, gradient, ctx.stride, ctx.pads)
        if ctx.needs_input_grad[1]:
            of_kernel = _of_kernel(x, kernel, gradient, ctx.stride, ctx.pads)
        return of_x, of_kernel, None, None


def _of_map(x: Tensor, kernel: Tensor, gradient: Tensor, stride: int, pads: Pads) -> Tensor:
    precision = x.dtype
    kernel, padding = _pad_alike(kernel, pads)
    if stride > 1 and precision in HALVES:
        x = torch.empty_like(x, dtype=torch.float32)  # its values do not matter
        kernel, gradient = kernel.float(), gradient.float()
    return _gradient(x, kernel, gradient, stride, padding).to(precision)


def _of_kernel(x: Tensor, kernel: Tensor, gradient: Tensor, stride: int, pads: Pads) -> Tensor:
    (height, width), (rows, columns) = x.shape[2:], kernel.shape[2:]
    (top, _), (left, _) = pads
    down, across = ((side - 1) * stride for side in gradient.shape[2:])
    bottom = down + rows - top - height
    found = []
    for first in range(0, columns, FAST_COLUMNS):
        part = kernel[..., first : first + FAST_COLUMNS]
        before = left - first
        after = across + part.shape[3] - before - width
        met = F.pad(x, (before, after, top, bottom))  # what these columns meet, no more
        found.append(_gradient(met, part, gradient, stride, (0, 0), of_map=False))
    return torch.cat(found, 3, out=torch.empty_like(kernel))


def _gradient(
    x: Tensor,
    kernel: Tensor,
    gradient: Tensor,
    stride: int,
    padding: tuple[int, int],
    *,
    of_map: bool = True,
) -> Tensor:
    """That of the map, or else that of the kernel.

    `torch.nn.grad` gives them too, with a stand-in for the tensor whose values do not matter, in
    the layout of which oneDNN has no fast code.
    """
    strides, ones, groups = (stride, stride), (1, 1), x.shape[1]
    found: tuple[Tensor, Tensor, None] = torch.ops.aten.convolution_backward(
        *(gradient, x, kernel, None, strides, padding, ones, False, (0, 0), groups),
        (of_map, not of_map, False),
    )
    return found[0] if of_map else found[1]
