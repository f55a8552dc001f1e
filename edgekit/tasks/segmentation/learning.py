"""How a network learns a class for each pixel: from masks, and from another network's maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from edgekit.data.augmentation.masked import MaskedAugmentation
from edgekit.data.augmentation.mixing import mix
from edgekit.data.placement import IGNORED
from edgekit.errors import UsageError
from edgekit.tasks.learning import Learning, Loss
from edgekit.tasks.segmentation.losses import LOSSES, compute

if TYPE_CHECKING:
    from edgekit.data.images import Shrink
    from edgekit.data.preprocessing import Preprocessing


class MaybeMasked(MaskedAugmentation):
    """Takes a photo without a mask, too: one that a network answers for its teacher alone."""

    def apply(
        self,
        load: Callable[[Shrink], Image.Image],
        label: Any,
        preprocessing: Preprocessing,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if isinstance(label, Image.Image):
            return super().apply(load, label, preprocessing, rng)
        photo = load(lambda size: 1)
        nothing = Image.new("L", photo.size, IGNORED)
        return super().apply(lambda shrink: photo, nothing, preprocessing, rng)


class SegmentationLearning(Learning):
    """Outputs are logits, float [n, classes, height, width]; targets masks, uint8 or int64
    [n, height, width], 255 where a pixel is of no class.
    """

    losses = LOSSES
    augmentation = MaybeMasked

    def check(self, loss: Loss, classes: int | None = None) -> None:
        super().check(loss, classes)
        if loss.class_weights and "cross-entropy" not in (loss.kind or self.losses[0]).split("+"):
            raise UsageError(
                f"the loss {loss.kind} takes no class weights", hint="--loss cross-entropy+dice"
            )

    def blank(self, count: int, side: int, device: torch.device) -> Tensor:
        return torch.zeros(count, side, side, dtype=torch.uint8, device=device)

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
        """Pastes rectangles of photos and of their masks alike: a pixel keeps one class."""
        if mixup:
            raise UsageError("mixup is for classification", cause="a mask has one class a pixel")
        # A mask is one more channel of its photo: a rectangle is pasted at the same place.
        stacked = torch.cat([inputs, targets.unsqueeze(1).to(inputs.dtype)], 1)
        nothing = stacked.new_zeros(len(inputs), 1)
        mixed, _ = mix(stacked, nothing, mixup=0.0, cutmix=cutmix, generator=generator)
        pasted = mixed[:, :-1].contiguous(memory_format=torch.channels_last)
        return pasted, mixed[:, -1].to(targets.dtype)

    def loss(self, outputs: Tensor, targets: Tensor, loss: Loss) -> Tensor:
        return compute(outputs, targets, loss)

    def distillation(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """KL(softmax(wanted) ‖ softmax(outputs)), the mean over all pixels."""
        divergence = F.kl_div(
            outputs.log_softmax(1), wanted.log_softmax(1), reduction="sum", log_target=True
        )
        mean: Tensor = divergence * wanted.shape[1] / wanted.numel()
        return mean

    def divergence(self, wanted: Tensor, outputs: Tensor) -> float:
        """The mean over the pixels of each image, summed over the images."""
        found = 0.0
        for one, other in zip(wanted, outputs, strict=True):  # float64 of one image at a time
            log_p, log_q = (logits.double().log_softmax(0) for logits in (one, other))
            found += float((log_p.exp() * (log_p - log_q)).sum(0).mean())
        return found

    def direction(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Of diag(p) - p pᵀ at each pixel, over their number: divergence is a mean over them."""
        p = outputs.softmax(1)
        signs = torch.randint(0, 2, p.shape, generator=generator).to(p) * 2.0 - 1
        direction = p.sqrt() * signs
        root: Tensor = direction - p * direction.sum(1, keepdim=True)
        return root / math.sqrt(p[0, 0].numel())

    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        raise _one_label_only()

    def confidence(
        self, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        raise _one_label_only()


def _one_label_only() -> UsageError:
    return UsageError(
        "noisy students are for classification", cause="photos are chosen by their one label"
    )


LEARNING = SegmentationLearning()
