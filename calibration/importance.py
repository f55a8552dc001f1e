"""Histograms that count what matters: every value weighted by what an error in it would cost.

An activation's plain mean squared error knows nothing of the layers behind it. The expected
square of the gradient of the log-likelihood (the diagonal of the Fisher information) does: to
second order, the divergence that a small error e brings to the answers is ``e² g² / 2``. The class
is drawn from the network's own answer, so that no labels are needed (Kunstner et al. 2019,
arXiv 1905.12558, section 2; as Li et al. 2021 (BRECQ, arXiv 2102.05426) weigh reconstruction).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.calibration.histogram import BINS, Histogram
from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.networks.edit import up_to_logits
from edgekit.networks.graph import Graph
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network
from edgekit.tasks.registry import find_task


def weigh(
    graph: Graph,
    histograms: Mapping[str, Histogram],
    batches: Iterable[NDArray[np.float32]],
    *,
    task: str = DEFAULT_TASK,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Histogram]:
    """Counts anew, each value with its squared gradient.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`). What chooses
            classes from its logits does not count.
        histograms: of its tensors; they give the bins and the extremes.
        batches: network inputs, float32 NHWC; no labels.
        task: what the network is for.
        seed: of the answers that are drawn.
        device: torch device.

    Returns:
        Histograms with the same bins. A tensor that no gradient reaches keeps its counts.
    """
    network = place(Network(up_to_logits(graph)), device).eval().requires_grad_(False)
    generator, learning = torch.Generator().manual_seed(seed), find_task(task).learning
    counts = {name: np.zeros(BINS) for name in histograms}
    for batch in batches:
        seen: dict[str, Tensor] = {}

        def tap(name: str, y: Tensor, seen: dict[str, Tensor] = seen) -> Tensor:
            if name in histograms:
                y.retain_grad()
                seen[name] = y
            return y

        x = torch.from_numpy(batch).permute(0, 3, 1, 2).to(device).requires_grad_(True)
        learning.drawn(network.run(x, tap), generator).backward()  # type: ignore[no-untyped-call]
        for name, y in seen.items():
            if y.grad is not None:
                counts[name] += _count(y.detach(), y.grad.square(), histograms[name])
    return {
        name: replace(h, counts=counts[name]) if counts[name].any() else h
        for name, h in histograms.items()
    }


def _count(values: Tensor, weights: Tensor, histogram: Histogram) -> NDArray[np.float64]:
    width = (histogram.high - histogram.low) / BINS
    index = ((values - histogram.low) / width).long().clamp_(0, BINS - 1)
    counted = torch.bincount(index.flatten(), weights.flatten().double(), BINS)
    result: NDArray[np.float64] = counted.cpu().numpy()
    return result
