"""The part of a task's contract that is in torch: how a network learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from edgekit.data.augmentation.augment import Augmentation
    from edgekit.data.boxes.anchors import Anchors


class Loss(NamedTuple):
    """What a step of training makes smaller.

    Attributes:
        kind: one of `Learning.losses`; empty for the first of them.
        smoothing: share of a target that is spread evenly over the classes.
        class_weights: of each class in the mean; none where all count alike.
        anchors: what outputs are relative to, as `Preprocessing.anchors`.
    """

    kind: str = ""
    smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    anchors: Anchors | None = None


class Learning(ABC):
    """How a network learns the task; in torch."""

    #: How an image is varied together with its label.
    augmentation: type[Augmentation]
    #: The names of its losses, the default first.
    losses: tuple[str, ...]

    def check(self, loss: Loss, classes: int | None = None) -> None:
        """Refuses a loss that the task has not, or that does not go with the classes.

        Args:
            loss: that is asked for.
            classes: how many there are; None while that is not known.

        Raises:
            UsageError: it cannot be computed.
        """
        if loss.kind and loss.kind not in self.losses:
            raise UsageError(
                f"unknown loss '{loss.kind}'", hint=did_you_mean(loss.kind, self.losses)
            )
        given = len(loss.class_weights)
        if classes is not None and given not in (0, classes):
            raise UsageError(f"{given} class weights for {classes} classes")

    @abstractmethod
    def blank(self, count: int, side: int, device: torch.device) -> Tensor:
        """Targets of so many images, of any value: for a step that only tries the memory."""

    @abstractmethod
    def targets(self, labels: NDArray[Any], classes: int) -> NDArray[np.float32]:
        """Labels in the form that `mix` and `probabilities` give; float32 [n, ...]."""

    @abstractmethod
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
        """Mixes images [n, channels, height, width] of a batch, and their targets.

        See `edgekit.data.augmentation.mixing.mix`; ``classes`` is how many there are.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, loss: Loss) -> Tensor:
        """Mean loss of a batch, a scalar, of a network's outputs [n, ...], maps NCHW."""

    @abstractmethod
    def distillation(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Mean divergence of outputs from a teacher's on the same images, a scalar."""

    @abstractmethod
    def divergence(self, wanted: Tensor, outputs: Tensor) -> float:
        """The same in float64, summed over the images."""

    @abstractmethod
    def direction(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """A root of the Fisher information of outputs, times random signs; of their shape.

        Its squares are, in the mean, the diagonal.
        """

    @abstractmethod
    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """A teacher's outputs as targets, float32 [n, ...]."""

    @abstractmethod
    def confidence(
        self, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """For each image the label that probabilities name, and how probable that is, [n] each."""
