"""Why training widens small maps: the gradient of a depthwise convolution on this CPU.

python benchmarks/depthwise_gradient.py
"""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn import functional as F

from edgekit.networks.torch_network import _at_least

#: Channels, kernel and side of B0's last stages at 64 px.
CASES = ((480, 5, 4), (672, 5, 4), (1152, 5, 2), (1152, 3, 2))


def step(x: torch.Tensor, weights: torch.Tensor, *, widen: bool) -> float:
    """Seconds for one forward and backward pass."""
    started = time.perf_counter()
    kernel = weights.shape[-1]
    wide = _at_least(x, kernel) if widen else x
    y = F.conv2d(wide, weights, padding=kernel // 2, groups=x.shape[1])
    y[..., : x.shape[2], : x.shape[3]].sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - started


def main() -> None:
    print(
        f"{'channels':>8} {'kernel':>6} {'side':>4} {'plain ms':>9} {'widened ms':>10} {'ratio':>6}"
    )
    for channels, kernel, side in CASES:
        x = torch.randn(32, channels, side, side).to(memory_format=torch.channels_last)
        x.requires_grad_()
        weights = torch.randn(channels, 1, kernel, kernel, requires_grad=True)
        rounds = [(step(x, weights, widen=False), step(x, weights, widen=True)) for _ in range(10)]
        plain, widened = (1e3 * statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{channels:>8} {kernel:>6} {side:>4} {plain:>9.2f} {widened:>10.2f} "
            f"{plain / widened:>6.1f}"
        )


if __name__ == "__main__":
    main()
