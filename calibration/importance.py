"""What matters of a tensor's values: each weighted by what an error in it would cost.

An activation's plain mean squared error knows nothing of the layers behind it. The diagonal of the
Fisher information does: to second order, the divergence that a small error e brings to the answers
is ``e² g² / 2``, where g is the gradient of a random root of the answers' own Fisher information
(`edgekit.tasks.learning.Learning.direction`), so that no labels are needed. Drawing one answer of
each photo for it (Kunstner et al. 2019, arXiv 1905.12558, section 2) has the same mean and varies
far more, as most photos have one answer that is nearly certain. Li et al. 2021 (BRECQ, arXiv
2102.05426) weigh reconstruction by the same diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.calibration.histogram import BINS, Histogram
from edgekit.calibration.sampling import Sampler, by_photo, count
from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.networks.edit import up_to_logits
from edgekit.networks.graph import Graph
from edgekit.networks.passes import join_swishes
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network
from edgekit.tasks.registry import find_task

#: Values of a photo that count for a tensor, at random places. EfficientNetV2-B0's divergence from
#: fp32 with 16,384 of them, 65,536 and all: 0.0104, 0.0088, 0.0088 (by drawn answers).
SAMPLES = 2**16
#: Photos at once, and the bytes that their tensors may take.
BATCH, MEMORY = 8, 2**31


def batch_for(graph: Graph, most: int = BATCH, copies: int = 2) -> int:
    """How many photos go through at once: fewer than ``most`` where tensors are very large.

    Args:
        graph: the network, or a part of it.
        most: photos.
        copies: of each tensor that are kept, its gradient among them.
    """
    elements = sum(math.prod(shape) for shape in graph.shapes.values())
    return int(np.clip(MEMORY // (copies * 4 * elements), 1, most))


def weigh(
    graph: Graph,
    histograms: Mapping[str, Histogram],
    batches: Iterable[NDArray[np.float32]],
    *,
    task: str = DEFAULT_TASK,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Histogram]:
    """Counts again, each value with its squared gradient.

    Args:
        graph: the float network, prepared (`edgekit.networks.passes.prepare`). What chooses
            classes from its logits does not count.
        histograms: of its tensors; they give the bins.
        batches: network inputs, float32 NHWC, of `batch_for` photos each; no labels.
        task: what the network is for.
        seed: of the random directions and places.
        device: torch device.

    Returns:
        The histograms with ``importance``; a tensor that no gradient reaches has none.
    """
    run = join_swishes(up_to_logits(graph), histograms)
    network = place(Network(run), device).eval().requires_grad_(False)
    generator, learning = torch.Generator().manual_seed(seed), find_task(task).learning
    counts: dict[str, NDArray[np.float64]] = {}
    for batch in batches:
        counting = _Counting(histograms, counts, generator)
        x = torch.from_numpy(batch).permute(0, 3, 1, 2).to(device).requires_grad_(True)
        found = network.run(x, counting)
        torch.autograd.backward(found, learning.direction(found.detach(), generator))
    return {name: replace(h, importance=counts.get(name)) for name, h in histograms.items()}


class _Counting:
    """Counts a batch's values when their gradients are there; a `Tap` for `Network.run`."""

    def __init__(
        self,
        histograms: Mapping[str, Histogram],
        counts: dict[str, NDArray[np.float64]],
        generator: torch.Generator,
    ) -> None:
        self.histograms, self.counts = histograms, counts
        self.sample = Sampler(SAMPLES, generator)

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        """Waits for the gradient of a float tensor [n, …]; returns it unchanged."""
        if name in self.histograms:
            hook = partial(self._add, name, self.sample(by_photo(tensor.detach())))
            tensor.register_hook(hook)  # type: ignore[no-untyped-call]
        return tensor

    def _add(self, name: str, values: Tensor, grad: Tensor) -> None:
        histogram = self.histograms[name]
        weights = self.sample(by_photo(grad)).double().square_()
        counted = count(values, histogram.low, histogram.high, BINS, weights)
        self.counts[name] = self.counts[name] + counted if name in self.counts else counted
