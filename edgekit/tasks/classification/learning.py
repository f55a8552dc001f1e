"""How a classifier learns: cross-entropy with labels, divergence from a teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edgekit.data.augmentation.augment import Augmentation
from edgekit.data.augmentation.mixing import mix
from edgekit.tasks.learning import Learning, Loss


class ClassificationLearning(Learning):
    """Targets are class indices, int64 [n], or probabilities, float [n, classes]."""

    losses = ("cross-entropy",)
    augmentation = Augmentation  # a class stays what it is, however the image is varied

    def blank(self, count: int, side: int, device: torch.device) -> Tensor:
        return torch.zeros(count, dtype=torch.int64, device=device)

    def targets(self, labels: NDArray[Any], classes: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.eye(classes, dtype=np.float32)[labels]
        return found

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
        if not targets.is_floating_point():
            targets = F.one_hot(targets, classes).float()
        return mix(inputs, targets, mixup=mixup, cutmix=cutmix, generator=generator)

    def loss(self, outputs: Tensor, targets: Tensor, loss: Loss) -> Tensor:
        weights = outputs.new_tensor(loss.class_weights) if loss.class_weights else None
        return F.cross_entropy(outputs, targets, weights, label_smoothing=loss.smoothing)

    def distillation(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """KL(softmax(wanted) || softmax(outputs)): Hinton et al. 2015, at temperature 1."""
        return F.kl_div(
            outputs.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True
        )

    def divergence(self, wanted: Tensor, outputs: Tensor) -> float:
        log_p, log_q = (logits.double().log_softmax(1) for logits in (wanted, outputs))
        return float((log_p.exp() * (log_p - log_q)).sum())

    def direction(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Of diag(p) - p pᵀ, float [n, classes]."""
        p = outputs.softmax(1)
        signs = torch.randint(0, 2, p.shape, generator=generator) * 2.0 - 1
        direction = p.sqrt() * signs
        return direction - p * direction.sum(1, keepdim=True)

    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = torch.from_numpy(outputs).softmax(1).numpy()
        return found

    def confidence(
        self, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return probabilities.argmax(1), probabilities.max(1)


LEARNING = ClassificationLearning()
