"""The losses of segmentation: a row each, from logits and masks to a scalar.

All of them leave out the pixels of no class (255), and are 0 where a batch has no other. Values
and gradients are those of segmentation_models_pytorch 0.6.0 with ``ignore_index=255``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.tasks.learning import Loss
from edgekit.tasks.segmentation.kept import IGNORED

#: From logits [n, classes, height, width], masks int64 [n, height, width], and how they count.
LossFunction = Callable[[Tensor, Tensor, Loss], Tensor]

#: Exponent of the focal losses (Lin et al. 2017, arXiv 1708.02002).
GAMMA = 2.0
EPSILON = 1e-7


def cross_entropy(logits: Tensor, masks: Tensor, loss: Loss) -> Tensor:
    """Mean over the pixels, each with its class's weight; smoothed as in classification."""
    weights = logits.new_tensor(loss.class_weights) if loss.class_weights else None
    summed = F.cross_entropy(
        logits,
        masks,
        weights,
        ignore_index=IGNORED,
        label_smoothing=loss.smoothing,
        reduction="sum",
    )
    known = masks != IGNORED
    if weights is None:
        return summed / known.sum().clamp_min(1)
    return summed / weights[masks[known]].sum().clamp_min(EPSILON)


def overlap(logits: Tensor, masks: Tensor, loss: Loss, *, union: bool) -> Tensor:
    """1 - Dice, or 1 - IoU (Jaccard), of probabilities, the mean over the classes.

    Sums are over all pixels of the batch. A class that is in none of its masks has a loss of 0,
    and counts in the mean.

    Args:
        logits: float [n, classes, height, width].
        masks: int64 [n, height, width].
        loss: takes no part in it.
        union: whether the intersection is over the union (Jaccard), and not over both areas.
    """
    probabilities, wanted = _flat(logits, masks)
    inside = (probabilities * wanted).sum(0)
    areas = probabilities.sum(0) + wanted.sum(0)
    score = inside / (areas - inside) if union else 2 * inside / areas
    # A class with a pixel in a mask has an area.
    present = wanted.sum(0) > 0
    return torch.where(present, 1 - score.nan_to_num(0.0), 0.0).mean()


def lovasz(logits: Tensor, masks: Tensor, loss: Loss) -> Tensor:
    """The Lovász-Softmax loss, the mean over the classes that are in the batch's masks.

    (Berman, Rannen Triki and Blaschko 2018, arXiv 1705.08790, algorithm 1 and equation 12.)
    """
    probabilities, wanted = _flat(logits, masks)
    losses = []
    for p, own in zip(probabilities.unbind(1), wanted.unbind(1), strict=True):
        count = own.sum()
        if count > 0:
            errors, order = (own - p).abs().sort(descending=True)
            own = own[order]
            missed = count - own.cumsum(0)
            index = 1 - missed / (count + (1 - own).cumsum(0))
            steps = torch.cat([index[:1], index[1:] - index[:-1]])
            losses.append((errors * steps.detach()).sum())
    return torch.stack(losses).mean() if losses else logits.sum() * 0


def focal(logits: Tensor, masks: Tensor, loss: Loss) -> Tensor:
    """The sigmoid focal loss of each class against all others, the mean over pixels and classes.

    (Lin et al. 2017, arXiv 1708.02002, with gamma 2 and without alpha.)
    """
    flat, wanted = _flat(logits, masks, activation=False)
    entropy = F.binary_cross_entropy_with_logits(flat, wanted, reduction="none")
    focused = (1 - (-entropy).exp()) ** GAMMA * entropy
    return focused.sum() / max(focused.numel(), 1)


def softmax_focal(logits: Tensor, masks: Tensor, loss: Loss) -> Tensor:
    """(1 - p)² times the cross-entropy, of the probability p of the right class by softmax."""
    entropy = F.cross_entropy(logits, masks, ignore_index=IGNORED, reduction="none")
    focused = (1 - (-entropy).exp()) ** GAMMA * entropy
    return focused.sum() / (masks != IGNORED).sum().clamp_min(1)


def _flat(logits: Tensor, masks: Tensor, *, activation: bool = True) -> tuple[Tensor, Tensor]:
    """Probabilities (or logits) and masks of the pixels with a class, float [pixels, classes]."""
    classes = logits.shape[1]
    values = logits.softmax(1) if activation else logits
    masks = masks.flatten()
    known = masks != IGNORED
    flat = values.movedim(1, -1).reshape(-1, classes)[known]
    return flat, F.one_hot(masks[known], classes).to(values.dtype)


ROWS: dict[str, LossFunction] = {
    "cross-entropy": cross_entropy,
    "dice": partial(overlap, union=False),
    "jaccard": partial(overlap, union=True),
    "lovasz": lovasz,
    "focal": focal,
    "softmax-focal": softmax_focal,
}
#: The default first. Of two, the loss is the sum.
LOSSES = (
    "cross-entropy",
    "cross-entropy+dice",
    "cross-entropy+lovasz",
    *(name for name in ROWS if name != "cross-entropy"),
)


def compute(logits: Tensor, masks: Tensor, loss: Loss) -> Tensor:
    """The loss that is asked for, a scalar; `cross_entropy` takes its smoothing and weights.

    Args:
        logits: float [n, classes, height, width].
        masks: integers [n, height, width]; 255 where a pixel is of no class.
        loss: its kind is one of `LOSSES`, or empty for the first.
    """
    masks = masks.long()
    parts = [ROWS[name](logits, masks, loss) for name in (loss.kind or LOSSES[0]).split("+")]
    return torch.stack(parts).sum()
