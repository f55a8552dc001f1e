"""Depthwise convolutions of B0 on a CPU, forward and backward: torch's own, and ours.

    python benchmarks/depthwise.py --batch 16 --precision fp32 --precision bf16

Torch's own pads the map and leaves gradients to oneDNN; ours is `edgekit.networks.depthwise`, where
small maps are widened too. They have their turns one after the other, and the median counts.
``ONEDNN_MAX_CPU_ISA=AVX2`` in the environment gives the figures of an older processor.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.networks.depthwise import Pads, at_least, convolve
from edgekit.networks.nodes import DepthwiseConv2D
from edgekit.networks.torch_device import autocast
from edgekit.system.memory import keep_freed_memory

#: Channels, kernel, stride and side: those of B0 at 224 px, and of its last stages at 64 px.
CASES = (
    *((32, 3, 1, 112), (96, 3, 2, 112), (144, 3, 1, 56), (144, 5, 2, 56), (240, 5, 1, 28)),
    *((240, 3, 2, 28), (480, 3, 1, 14), (480, 5, 1, 14), (672, 5, 1, 14), (672, 5, 2, 14)),
    *((1152, 5, 1, 7), (1152, 3, 1, 7), (480, 5, 1, 4), (1152, 5, 1, 2), (1152, 3, 1, 2)),
)
Convolution = Callable[[Tensor, Tensor, int, Pads], Tensor]


def by_torch(x: Tensor, kernel: Tensor, stride: int, pads: Pads) -> Tensor:
    """Padded here where both ends are not alike."""
    (top, bottom), (left, right) = pads
    alike = (top, left) == (bottom, right)
    x = x if alike else F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, kernel, None, stride, top if alike else 0, 1, x.shape[1])


def ours(x: Tensor, kernel: Tensor, stride: int, pads: Pads) -> Tensor:
    """As a network that learns."""
    rows = -(-x.shape[2] // stride)
    wide = at_least(x, kernel.shape[3])
    return convolve(wide, kernel, None, stride, pads)[..., :rows, :rows]


def seconds(run: Convolution, x: Tensor, kernel: Tensor, stride: int, precision: str) -> float:
    """Of one pass forward and backward."""
    node = DepthwiseConv2D(name="layer", inputs=("x",), kernel=kernel.shape[3], stride=stride)
    pads = node.pads(x.shape[2])
    with autocast(x.device, precision):
        started = time.perf_counter()
        y = run(x, kernel, stride, (pads, pads))
    torch.autograd.grad(y, (x, kernel), torch.ones_like(y))
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--precision", action="append", choices=["fp32", "bf16"])
    given = parser.parse_args(arguments)
    keep_freed_memory()
    print(
        f"{'':>4} {'channels':>8} {'kernel':>6} {'stride':>6} {'side':>4}  torch ms  ours ms  ratio"
    )
    for precision in given.precision or ["fp32"]:
        for channels, size, stride, side in CASES:
            x = torch.randn(given.batch, channels, side, side)
            x = x.to(memory_format=torch.channels_last)
            x = (x.bfloat16() if precision == "bf16" else x).requires_grad_()
            kernel = torch.randn(channels, 1, size, size, requires_grad=True)
            rounds = [
                [seconds(run, x, kernel, stride, precision) for run in (by_torch, ours)]
                for _ in range(given.rounds)
            ]
            plain, own = (1e3 * statistics.median(column) for column in zip(*rounds, strict=True))
            print(
                f"{precision:>4} {channels:>8} {size:>6} {stride:>6} {side:>4} {plain:>9.2f} "
                f"{own:>8.2f} {plain / own:>6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
