"""How a network is trained: plain numbers, and the learning rate that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgekit.errors import UsageError, did_you_mean

OPTIMIZERS = ("adamw", "sgd", "rmsprop")
SCHEDULES = ("cosine", "exponential")

#: Epochs of a run on photos that names none: from random weights, and from trained ones.
EPOCHS_FROM_SCRATCH = 30
EPOCHS_FINE_TUNING = 5

#: Epochs from which on a run needs drop-connect.
LONG_RUN = 50

#: Learning rates for a batch of 32, by optimizer: from random weights, and from trained ones.
LEARNING_RATES = {"adamw": (2e-3, 1e-4), "sgd": (0.1, 2e-3), "rmsprop": (4e-3, 2e-4)}


#: Peak learning rate of kernels and biases in integer steps, for a batch of 32.
QAT_LEARNING_RATE = 0.02
#: Share of the loss that labels get by default, and with the teacher alone.
LABEL_SHARE, TEACHER_ALONE = 0.5, 0.0


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        epochs: passes over the training photos; 0 trains nothing.
        batch_size: photos per step.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: at its peak.
        schedule: ``cosine`` to zero, or ``exponential``: times 0.97 every 2.4 epochs, in steps.
        warmup_epochs: linear rise of the learning rate from zero.
        weight_decay: on kernels only; not on biases or normalizations.
        label_smoothing: share of the target spread over all classes.
        ema_decay: of the averaged weights that are evaluated and kept; 0 for none.
        min_crop_area: smallest share of a photo that a random crop keeps.
        flip: whether photos are mirrored at random.
        drop_connect: whether residual branches are dropped at random, at the network's rates.
        freeze_norm: whether batch normalizations keep their statistics.
        seed: of the order, the crops, dropout and drop-connect.
    """

    epochs: int
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    weight_decay: float = 1e-5
    label_smoothing: float = 0.1
    ema_decay: float = 0.9999
    min_crop_area: float = 0.3
    flip: bool = True
    drop_connect: bool = True
    freeze_norm: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in known:
                raise UsageError(f"unknown {name} '{value}'", hint=did_you_mean(value, known))
        checks = {
            "epochs must not be negative": self.epochs >= 0,
            "the batch size must be at least 2": self.batch_size >= 2,
            "the learning rate must be positive": 0 < self.learning_rate < math.inf,
            "warm-up epochs must not be negative": self.warmup_epochs >= 0,
            "weight decay must not be negative": self.weight_decay >= 0,
            "label smoothing must be from 0 to below 1": 0 <= self.label_smoothing < 1,
            "the EMA decay must be from 0 to below 1": 0 <= self.ema_decay < 1,
            "the smallest crop must be above 0, up to 1": 0 < self.min_crop_area <= 1,
        }
        for text, holds in checks.items():
            if not holds:
                raise UsageError(text)

    @classmethod
    def default(
        cls,
        *,
        fine_tuning: bool,
        epochs: int | None = None,
        batch_size: int | None = None,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        warmup_epochs: float | None = None,
        **rest: Any,
    ) -> Recipe:
        """Fills in what is None, by whether the weights are trained already."""
        if epochs is None:
            epochs = EPOCHS_FINE_TUNING if fine_tuning else EPOCHS_FROM_SCRATCH
        batch_size = 32 if batch_size is None else batch_size
        optimizer = optimizer or "adamw"
        if learning_rate is None and optimizer in LEARNING_RATES:
            learning_rate = LEARNING_RATES[optimizer][fine_tuning] * batch_size / 32
        return cls(
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate or 0.0,
            warmup_epochs=min(1.0, epochs / 10) if warmup_epochs is None else warmup_epochs,
            # Trained weights come with good statistics; a short run would only blur them.
            freeze_norm=fine_tuning,
            # Against overfitting in hundreds of epochs; a few are only slowed down by it.
            drop_connect=epochs >= LONG_RUN,
            **rest,
        )

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, counted from 0."""
        warmup = self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        if self.schedule == "exponential":
            return self.learning_rate * 0.97 ** math.floor(step / steps_per_epoch / 2.4)
        total = self.epochs * steps_per_epoch
        progress = (step - warmup) / max(total - warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@dataclass(frozen=True)
class QatRecipe(Recipe):
    """A quantization-aware training run. Rates are at their peak; they fall as the schedule says.

    Attributes:
        learning_rate: of kernels and biases, in integer steps: of the kernel's own grid, and of
            the layer's output. One rate thus suits all layers.
        scale_rate: of the logarithm of activation scales.
        label_share: of the loss; the rest is the divergence from the float network's answers.
        frozen: share of the steps, at the end, in which activation scales stand still.
    """

    learning_rate: float = QAT_LEARNING_RATE
    scale_rate: float = 1e-3
    label_share: float = LABEL_SHARE
    frozen: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        checks = {
            "the scales' learning rate must not be negative": self.scale_rate >= 0,
            "the labels' share must be from 0 to 1": 0 <= self.label_share <= 1,
            "the frozen share must be from 0 to 1": 0 <= self.frozen <= 1,
        }
        for text, holds in checks.items():
            if not holds:
                raise UsageError(text)
