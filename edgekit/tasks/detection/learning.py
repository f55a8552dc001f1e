"""How a network learns to detect: from boxes, and from another network's outputs.

How far two outputs are apart is, by image, ``Σ w D / (1 + Σ p)`` over the anchors. D is the
divergence of an anchor: of each class's probability, and of its offsets as a normal distribution
of the deviation 0.1 around them. p is the highest probability that an anchor has in the network
that is the measure, and w the higher one of both networks': of ten thousand anchors nearly all
have nothing, and a sum without a weight would be of them. A thing that only one network finds has
its whole weight. So it is about the mean over the anchors that find something, in nats, as in
classification it is one answer's.

The deviation 0.1, of a side, is where the loss of an offset turns into a line, and two steps of
COCO's IoU thresholds: an error of 0.1 costs as much as one of 2 in the logit of an even chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from edgekit.data.augmentation.boxed import BoxedAugmentation
from edgekit.data.boxes.boxes import Boxes, make_boxes
from edgekit.data.boxes.targets import MOST
from edgekit.errors import UsageError
from edgekit.tasks.detection.kept import find_anchors
from edgekit.tasks.detection.losses import compute
from edgekit.tasks.learning import Learning, Loss

if TYPE_CHECKING:
    from edgekit.data.boxes.anchors import Anchors
    from edgekit.data.images import Shrink
    from edgekit.data.preprocessing import Preprocessing

#: Of an offset, in sides of the anchor and in logarithms of their ratio.
DEVIATION = 0.1


class MaybeBoxed(BoxedAugmentation):
    """Takes a photo without boxes, too: one that a network answers for its teacher alone."""

    def apply(
        self,
        load: Callable[[Shrink], Image.Image],
        label: Any,
        preprocessing: Preprocessing,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        boxes = label if isinstance(label, Boxes) else make_boxes([], [])
        return super().apply(load, boxes, preprocessing, rng)


class DetectionLearning(Learning):
    """Outputs are float [n, anchors, 4 + classes], offsets and then logits; targets float
    [n, 100, 5]: top, left, bottom, right in fractions of the input, and class, -1 without a box.
    """

    losses = ("focal",)
    augmentation = MaybeBoxed

    def blank(self, count: int, side: int, device: torch.device) -> Tensor:
        """As many boxes as there may be: the most that a step can take."""
        box = torch.tensor([0.25, 0.25, 0.75, 0.75, 0.0], device=device)
        return box.repeat(count, MOST, 1)

    def targets(self, labels: NDArray[Any], classes: int) -> NDArray[np.float32]:
        raise _one_label_only()

    def mix(
        self,
        inputs: Tensor,
        targets: Tensor,
        classes: int,
        *,
        mixup: float,
        cutmix: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        raise UsageError(
            "mixup and cutmix are not for detection", cause="a box is of one photo, and whole"
        )

    def loss(self, outputs: Tensor, targets: Tensor, loss: Loss) -> Tensor:
        if loss.anchors is None:
            raise UsageError("nothing says what the boxes are relative to")
        anchors = _anchors_on(loss.anchors, outputs.shape[1], outputs.device)
        return compute(outputs, targets.to(outputs.dtype), anchors, loss).total

    def distillation(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """The divergence from a teacher, the mean over the images."""
        return _divergences(wanted, outputs).mean()

    def divergence(self, wanted: Tensor, outputs: Tensor) -> float:
        return sum(  # float64 of one image at a time
            float(_divergences(one[None].double(), other[None].double()))
            for one, other in zip(wanted, outputs, strict=True)
        )

    def direction(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Of p (1 - p) at each logit and 1 / 0.1² at each offset, times the anchor's weight."""
        p = outputs[..., 4:].sigmoid()
        offsets = torch.full_like(outputs[..., :4], 1 / DEVIATION)
        root = torch.cat([offsets, (p * (1 - p)).sqrt()], -1)
        signs = torch.randint(0, 2, root.shape, generator=generator).to(root) * 2 - 1
        return root * signs * _weights(outputs).sqrt()[..., None]

    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        raise _one_label_only()

    def confidence(
        self, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        raise _one_label_only()


def _weights(outputs: Tensor, others: Tensor | None = None) -> Tensor:
    """The weight of each anchor over the number of those that find something."""
    highest = outputs[..., 4:].amax(-1).sigmoid()
    weight = highest
    if others is not None:
        weight = torch.maximum(weight, others[..., 4:].detach().amax(-1).sigmoid())
    return weight / (1 + highest.sum(-1, keepdim=True))


def _divergences(wanted: Tensor, outputs: Tensor) -> Tensor:
    """How far outputs are from those that are wanted, by image, float [n]."""
    x, y = wanted[..., 4:], outputs[..., 4:]
    classes = (x.sigmoid() * (x - y) + F.softplus(y) - F.softplus(x)).sum(-1)
    offsets = ((wanted[..., :4] - outputs[..., :4]) / DEVIATION).square().sum(-1) / 2
    return (_weights(wanted, outputs) * (classes + offsets)).sum(-1)


@lru_cache(maxsize=8)
def _anchors_on(anchors: Anchors, count: int, device: torch.device) -> Tensor:
    return torch.from_numpy(find_anchors(anchors, count)).to(device)


def _one_label_only() -> UsageError:
    return UsageError(
        "noisy students are for classification", cause="photos are chosen by their one label"
    )


LEARNING = DetectionLearning()
