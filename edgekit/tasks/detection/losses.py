"""The loss of a detector: which anchor is to find which box, and what that costs.

Source: Lin et al. 2017 (arXiv 1708.02002) and google/automl 6a54c87,
``efficientdet/tf2/train_lib.py`` and ``object_detection/``; effdet 0.4.1 computes the same.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.tasks.learning import Loss

#: An anchor is of the box that it overlaps most, from this IoU on.
LIMIT = 0.5
#: Share of what is there in the focal loss, and its exponent.
ALPHA, GAMMA = 0.25, 1.5
#: Where the loss of an offset turns from a square into a line, and its weight.
DELTA, BOX_WEIGHT = 0.1, 50.0
#: Added to sides, so that none is 0.
EPSILON = 1e-8
#: Pairs of an anchor and a box that are compared at once: of 16 MB a table.
AT_ONCE = 4_000_000


class Parts(NamedTuple):
    """A loss and what it is of, scalars.

    Attributes:
        total: the classes' and the boxes' with its weight.
        classes: focal loss over anchors and classes, by the positive anchors.
        boxes: Huber loss of the positive anchors' offsets, by four times their number.
        positives: int64 [n], positive anchors of each image.
    """

    total: Tensor
    classes: Tensor
    boxes: Tensor
    positives: Tensor


def compute(outputs: Tensor, targets: Tensor, anchors: Tensor, loss: Loss) -> Parts:
    """The loss of a batch.

    Args:
        outputs: float [n, anchors, 4 + classes]: offsets (ty, tx, th, tw), then logits.
        targets: float [n, k, 5]: top, left, bottom, right in the unit of the anchors, and class;
            -1 where a row has no box.
        anchors: float [anchors, 4]: top, left, bottom, right.
        loss: its smoothing and class weights.
    """
    found = match(anchors, targets)
    positive = found >= 0
    photos, places = positive.nonzero(as_tuple=True)
    boxes = targets[photos, found[photos, places]]
    positives = positive.sum(1)
    count = positives.sum() + 1.0
    classes = _focal(outputs[..., 4:], photos, places, boxes[:, 4].long(), loss) / count
    wanted = encode(boxes[:, :4], anchors[places])
    off = F.huber_loss(outputs[photos, places, :4], wanted, reduction="none", delta=DELTA)
    # An offset of exactly 0 is left out, as there: it is meant for anchors without a box.
    huber = off.masked_fill(wanted == 0, 0.0).sum() / (4 * count)
    return Parts(classes + BOX_WEIGHT * huber, classes, huber, positives)


def _focal(logits: Tensor, photos: Tensor, places: Tensor, classes: Tensor, loss: Loss) -> Tensor:
    """Sum of the focal loss: all logits as of nothing, put right for the positive ones.

    With s = log(1 + exp(x)), the probability of class x is exp(x - s), that of nothing exp(-s).
    """
    weights = logits.new_tensor(loss.class_weights) if loss.class_weights else None
    nothing = _nothing(logits, loss.smoothing)
    if weights is not None:
        nothing = nothing * weights
    own = logits[photos, places, classes]
    entropy = F.softplus(-own) + own * (loss.smoothing / 2)
    there = ALPHA * torch.exp(-GAMMA * F.softplus(own)) * entropy
    instead = _nothing(own, loss.smoothing)
    put_right = there - instead if weights is None else (there - instead) * weights[classes]
    return nothing.sum() + put_right.sum()


def _nothing(logits: Tensor, smoothing: float) -> Tensor:
    """The focal loss of each logit where nothing of its class is there."""
    soft = F.softplus(logits)
    entropy = soft - logits * (smoothing / 2) if smoothing else soft
    return (1 - ALPHA) * torch.exp(GAMMA * (logits - soft)) * entropy


@torch.no_grad()
def match(anchors: Tensor, targets: Tensor, at_once: int = AT_ONCE) -> Tensor:
    """Which box an anchor is to find.

    That is the one that it overlaps most, if by an IoU of 0.5; and the anchor that overlaps a box
    most finds it in any case, of several such boxes the first.

    Args:
        anchors: float [anchors, 4].
        targets: float [n, k, 5].
        at_once: pairs that are compared at once, about.

    Returns:
        int64 [n, anchors], the row of the box; -1 for none.
    """
    known = targets[..., 4] >= 0
    most = max(int(known.sum(1).max()), 1) if len(targets) else 1
    # Boxes come first, but for those that a user's own targets have elsewhere.
    order = (~known).to(torch.uint8).sort(dim=1, stable=True).indices[:, :most]
    rows = targets.gather(1, order[..., None].expand(-1, -1, 5))
    size = max(1, at_once // (len(anchors) * most))
    parts = [_match_some(anchors, part) for part in torch.split(rows, size)] if len(rows) else []
    found = torch.cat(parts) if parts else targets.new_zeros((0, len(anchors)), dtype=torch.int64)
    return torch.where(found >= 0, order.gather(1, found.clamp_min(0)), -1)


def _match_some(anchors: Tensor, targets: Tensor) -> Tensor:
    n, k, _ = targets.shape
    overlaps = iou(anchors, targets[..., :4])  # [n, anchors, k]
    overlaps.masked_fill_((targets[..., 4] < 0)[:, None], -1.0)
    best, found = overlaps.max(2)
    found = found.masked_fill(best < LIMIT, -1)
    most, own = overlaps.max(1)  # [n, k]
    # Of boxes with the same anchor the first; a box that overlaps none forces none.
    numbers = torch.arange(k, device=targets.device).expand(n, k).masked_fill(most <= 0, k)
    forced = torch.full_like(found, k).scatter_reduce_(1, own, numbers, "amin")
    return torch.where(forced < k, forced, found)


def iou(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of anchors [anchors, 4] and boxes [n, k, 4]: [n, anchors, k]."""
    top, left, bottom, right = anchors[:, None].unbind(-1)  # [anchors, 1]
    own_top, own_left, own_bottom, own_right = boxes[:, None].unbind(-1)  # [n, 1, k]
    heights = (torch.minimum(bottom, own_bottom) - torch.maximum(top, own_top)).clamp_min(0)
    widths = (torch.minimum(right, own_right) - torch.maximum(left, own_left)).clamp_min_(0)
    common = heights.mul_(widths)
    areas = (bottom - top) * (right - left)
    own_areas = (own_bottom - own_top) * (own_right - own_left)
    return common / (areas + own_areas - common).clamp_min_(1e-12)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """The offsets of boxes [..., 4] from anchors [..., 4]: ty, tx, th, tw."""
    sides = anchors[..., 2:] - anchors[..., :2] + EPSILON
    own = boxes[..., 2:] - boxes[..., :2] + EPSILON
    off = (boxes[..., :2] + boxes[..., 2:] - anchors[..., :2] - anchors[..., 2:]) / 2
    return torch.cat([off / sides, (own / sides).log()], -1)
