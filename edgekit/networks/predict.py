"""Logits of many photos from a torch network, float or simulated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.data.batches import eval_batches
from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.networks.torch_device import place

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


def predict(
    network: nn.Module,
    photos: PhotoSet,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    advance: Advance | None = None,
) -> NDArray[np.float32]:
    """Runs a network on every photo, in order.

    Returns:
        Logits, float32 [n, classes].
    """
    network = place(network, device).eval()
    logits = []
    done = 0
    with torch.inference_mode():
        for pixels, labels in eval_batches(photos, preprocessing, batch_size):
            logits.append(network(to_input(pixels, preprocessing, device)).float().cpu().numpy())
            done += len(labels)
            if advance:
                advance(done, len(photos))
    return np.concatenate(logits)
