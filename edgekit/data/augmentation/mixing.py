"""Mixing the photos of a batch, and what they show: mixup and cutmix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def mix(
    inputs: Tensor, targets: Tensor, *, mixup: float, cutmix: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mixes each photo of a batch with another one, and their targets in the same proportion.

    With both on, the first half of the batch (the smaller one) goes through mixup and the rest
    through cutmix, as in the released code (google/automl, efficientnetv2/datasets.py, mixing).
    The other one of a pair is, as there, the photo at the same place of the half read backwards:
    the middle one of an odd number, and a batch of one, stay as they are.

    Args:
        inputs: float [n, channels, height, width], normalized or not, on any device.
        targets: float [n, classes], the probability of each class. Label smoothing may come
            before or after: it is linear too, so that the result is the same.
        mixup: alpha of mixup (Zhang et al. 2017); 0 is off.
        cutmix: alpha of cutmix (Yun et al. 2019); 0 is off.
        generator: on the CPU; drawn from once if anything is on, and else not at all.

    Returns:
        Inputs and targets of the same shapes, dtypes, device and memory format. What was given
        is not changed; it is returned itself if both are off.
    """
    if not mixup and not cutmix:
        return inputs, targets
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    rng = np.random.default_rng(seed)  # torch's own Beta takes no generator
    if not cutmix:
        return _mixup(inputs, targets, mixup, rng)
    if not mixup:
        return _cutmix(inputs, targets, cutmix, rng)
    half = len(inputs) // 2
    mixed, soft = torch.empty_like(inputs), torch.empty_like(targets)
    mixed[:half], soft[:half] = _mixup(inputs[:half], targets[:half], mixup, rng)
    mixed[half:], soft[half:] = _cutmix(inputs[half:], targets[half:], cutmix, rng)
    return mixed, soft


def _mixup(
    inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blends each photo with its partner; the photo keeps the larger weight.

    The weight is drawn for each photo, max(w, 1 - w) of a w from Beta(alpha, alpha), as the
    released code has it; the paper draws one w for a batch.
    """
    weights = rng.beta(alpha, alpha, len(inputs))
    kept = torch.from_numpy(np.maximum(weights, 1 - weights))
    return (
        _blend(inputs, kept.to(inputs).view(-1, 1, 1, 1)),
        _blend(targets, kept.to(targets).view(-1, 1)),
    )


def _cutmix(
    inputs: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Pastes a rectangle of its partner into each photo, at the same place.

    The partner's weight in the target is the share of the area that was pasted, of each photo;
    the released code gives all photos of a batch the mean share.
    """
    height, width = inputs.shape[2:]
    boxes = _boxes(len(inputs), width, height, alpha, rng)
    areas = (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])
    kept = torch.from_numpy(1 - areas / (width * height))
    left, top, right, bottom = torch.from_numpy(boxes).to(inputs.device).view(4, -1, 1, 1, 1)
    x = torch.arange(width, device=inputs.device)
    y = torch.arange(height, device=inputs.device).view(-1, 1)
    pasted = (left <= x) & (x < right) & (top <= y) & (y < bottom)
    mixed = torch.where(pasted, inputs.flip(0), inputs)
    return mixed, _blend(targets, kept.to(targets).view(-1, 1))


def _boxes(
    n: int, width: int, height: int, alpha: float, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draws rectangles as the released code does (cutmix_mask in datasets.py).

    The share of the area is 1 - w, w from Beta(alpha, alpha), the ratio that of the photo and
    the centre uniform; what lies outside the photo is cut off.

    Returns:
        int64 [4, n]: left, top, right and bottom; the last two are the first pixels outside.
    """
    share = np.sqrt(1 - rng.beta(alpha, alpha, n))
    x, y = rng.integers(0, width, n), rng.integers(0, height, n)
    across, down = (share * width).astype(int) // 2, (share * height).astype(int) // 2
    edges = np.stack([x - across, y - down, x + across, y + down])
    inside: npt.NDArray[np.int64] = edges.clip(0, np.array([[width], [height]] * 2))
    return inside


def _blend(values: Tensor, kept: Tensor) -> Tensor:
    return values * kept + values.flip(0) * (1 - kept)
