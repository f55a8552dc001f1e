"""What a run has done so far: finished epochs, and where it stands in the present one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from edgekit.tasks.task import Metric
from edgekit.training.world import World


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        epoch: counted from 1.
        train_loss: mean loss over the epoch's photos, of the task or of the trainer.
        val_score: the task's metric of the averaged weights; None for an epoch without validation.
        learning_rate: of the last step.
        seconds: wall time, with validation.
        images_per_s: photos of all processes per second of the training steps.
        waiting: share of that time in which a process waited for photos.
        resolution: side of the input in pixels.
    """

    epoch: int
    train_loss: float
    val_score: float | None
    learning_rate: float
    seconds: float
    images_per_s: float | None = None
    waiting: float | None = None
    resolution: int | None = None

    def to_record(self, metric: Metric) -> dict[str, Any]:
        """JSON values, in which the score has the metric's name."""
        return metric.to_record(asdict(self))

    @classmethod
    def from_record(cls, record: Mapping[str, Any], metric: Metric) -> Epoch:
        """Reads what `to_record` gave."""
        return cls(**metric.from_record(record))


@dataclass
class Position:
    """Where a run stands in an epoch; what a checkpoint needs to go on from there.

    Attributes:
        step: the next one, counted from 0.
        loss: summed over the photos so far.
        photos: so far, of all processes.
        seconds: spent on steps.
        waited: seconds of these in which it waited for photos.
    """

    step: int = 0
    loss: float = 0.0
    photos: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass
class Meter:
    """Counts the steps of an epoch in one process.

    A loss on a GPU is read a step late, so that the GPU has work meanwhile.

    Attributes:
        at: the counts.
        last_loss: mean of the last step that was read; NaN before the first.
        last_step: its number in the epoch, from 0.
        last_photos: its photos' indices, int64 [n].
    """

    at: Position = field(default_factory=Position)
    last_loss: float = float("nan")
    last_step: int = 0
    last_photos: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _unread: tuple[Tensor, int, npt.NDArray[np.int64]] | None = None

    def add(
        self, loss: Tensor, photos: npt.NDArray[np.int64], *, count: int, seconds: float
    ) -> None:
        """Counts a step.

        Args:
            loss: mean over this process's photos, a scalar.
            photos: these photos' indices, int64 [n].
            count: photos of all processes.
            seconds: what the step took.
        """
        self.settle()
        self._unread = (loss, self.at.step, photos)
        if loss.device.type == "cpu":
            self.settle()
        self.at.step += 1
        self.at.photos += count
        self.at.seconds += seconds

    def settle(self) -> None:
        """Reads the loss that is still to be read."""
        if self._unread is not None:
            loss, self.last_step, self.last_photos = self._unread
            self._unread = None
            self.last_loss = float(loss)
            self.at.loss += self.last_loss * len(self.last_photos)

    def gather(self, world: World) -> None:
        """Lets the first process have the loss of all, and the others none."""
        self.settle()
        (loss,) = world.total(self.at.loss)
        self.at.loss = loss if world.leads else 0.0

    @property
    def images_per_s(self) -> float:
        """Photos of all processes per second."""
        return self.at.photos / self.at.seconds if self.at.seconds else 0.0

    @property
    def waiting(self) -> float:
        """Share of the time in which it waited for photos."""
        return self.at.waited / self.at.seconds if self.at.seconds else 0.0
