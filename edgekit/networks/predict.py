"""Logits or classes of many photos from a torch network, float or simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.data.batches import eval_batches
from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.passes import fold_batch_norm
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network

#: Told how many of how many are done.
Advance = Callable[[int, int], None]


def to_input(
    pixels: NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device | str
) -> Tensor:
    """Normalises pixels, uint8 NHWC, to a channels-last float tensor, NCHW."""
    photos = torch.from_numpy(pixels).to(device).float()
    mean = torch.tensor(preprocessing.mean, device=device)
    std = torch.tensor(preprocessing.std, device=device)
    return ((photos - mean) / std).permute(0, 3, 1, 2)


def to_answers(outputs: Tensor) -> NDArray[Any]:
    """A network's output as runtimes give it.

    Args:
        outputs: as of `edgekit.networks.torch_network.Network`.

    Returns:
        Logits, float32 [n, classes] or NHWC, or classes, int64 [n, height, width] or NHWC; of
        several outputs float32 [n, rows, columns].
    """
    maps = outputs.permute(0, 2, 3, 1) if outputs.dim() == 4 else outputs
    return np.ascontiguousarray((maps.float() if maps.is_floating_point() else maps).cpu().numpy())


def without_normalizations(network: Network) -> Network:
    """The network with its batch normalizations in its kernels: a pass less over every map.

    Its answers differ by float32 rounding (`edgekit.networks.passes.fold_batch_norm`).
    """
    return Network(fold_batch_norm(network.to_graph()))


def predict(
    network: nn.Module,
    photos: PhotoSet,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    advance: Advance | None = None,
    keep: Callable[[NDArray[Any], Preprocessing], NDArray[Any]] = lambda outputs, record: outputs,
) -> NDArray[Any]:
    """Runs a network on every photo, in order.

    Args:
        network: takes normalised photos, float NCHW. One of ours runs without its normalizations.
        photos: n photos.
        preprocessing: of its input.
        batch_size: photos at once.
        device: that it runs on.
        advance: told of the photos done.
        keep: what is kept of the outputs of a batch (`edgekit.tasks.task.Task.keep`).

    Returns:
        As of `to_answers`, what is kept of it.
    """
    network.eval()
    if isinstance(network, Network):
        network = without_normalizations(network)
    network = place(network, device).eval()
    kept = []
    done = 0
    with torch.inference_mode():
        for pixels, indices in eval_batches(photos, preprocessing, batch_size):
            outputs = to_answers(network(to_input(pixels, preprocessing, device)))
            kept.append(keep(outputs, preprocessing))
            done += len(indices)
            if advance:
                advance(done, len(photos))
    return np.concatenate(kept)
