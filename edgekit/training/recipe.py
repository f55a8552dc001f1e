"""How a network is trained: plain numbers, and what follows from them in the course of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.errors import UsageError, did_you_mean
from edgekit.tasks.learning import Loss

OPTIMIZERS = ("adamw", "sgd", "rmsprop")
SCHEDULES = ("cosine", "poly", "exponential", "constant")
#: Words for `Recipe.class_weights`.
UNWEIGHTED, BALANCED = "none", "balanced"
POLICIES = ("none", "rand", "auto")
STUDENT_STARTS = ("weights", "teacher")

#: Exponent of the schedule ``poly`` (Chen et al. 2016, arXiv 1606.00915, section 4.1.1).
POLY_POWER = 0.9

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
        batch_size: photos per step, of all processes together.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: at its peak.
        schedule: ``cosine`` to zero, ``poly``: the share of the steps that is left, to the power of
            0.9, ``exponential``: times 0.97 every 2.4 epochs, in steps, or ``constant``.
        warmup_epochs: linear rise of the learning rate from zero.
        weight_decay: on kernels only; not on biases or normalizations.
        label_smoothing: share of the target spread over all classes.
        ema_decay: of the averaged weights that are evaluated and kept; 0 for none.
        min_crop_area: smallest share of a photo that a random crop keeps.
        flip: whether photos are mirrored at random.
        policy: ``none``, ``rand`` for RandAugment, or ``auto`` for AutoAugment's policy v0.
        policy_layers: operations per photo of RandAugment.
        policy_magnitude: of RandAugment, from 0 to 30.
        mixup: alpha of the blended photos; 0 for none.
        cutmix: alpha of the pasted rectangles; 0 for none.
        erasing: share of the photos in which a rectangle is erased.
        dropout: before the classifier; None for the variant's own rate.
        drop_connect: whether residual branches are dropped at random, at the network's rates.
        freeze_norm: whether batch normalizations keep their statistics.
        stages: parts of equal length of a progressive run, over which the input's side, the
            magnitude, mixup, cutmix and dropout grow (Tan and Le 2021, section 4.2).
        first_size: side of the input, over the full one, from which the growth sets out.
        first_magnitude: of RandAugment in the first stage.
        first_dropout: in the first stage; None lets dropout stand still.
        seed: of the order, the augmentation, dropout and drop-connect.
        loss: one of the task's; empty for its default.
        class_weights: ``none``, ``balanced`` by the training labels, or a number for each class,
            separated by commas.
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
    policy: str = "none"
    policy_layers: int = 2
    policy_magnitude: float = 9.0
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0
    dropout: float | None = None
    drop_connect: bool = True
    freeze_norm: bool = False
    stages: int = 1
    first_size: float = 1.0
    first_magnitude: float = 5.0
    first_dropout: float | None = None
    seed: int = 0
    loss: str = ""
    class_weights: str = "none"

    def objective(self, balanced: Callable[[], Sequence[float]]) -> Loss:
        """What a step makes smaller; ``balanced`` gives the weights of balanced classes."""
        asked = self.class_weights
        weights = balanced() if asked == BALANCED else read_weights(asked)
        return Loss(self.loss, self.label_smoothing, tuple(weights))

    def __post_init__(self) -> None:
        for name, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("policy", self.policy, POLICIES),
        ):
            if value not in known:
                raise UsageError(f"unknown {name} '{value}'", hint=did_you_mean(value, known))
        if self.class_weights != BALANCED:
            read_weights(self.class_weights)
        rates = [rate for rate in (self.dropout, self.first_dropout) if rate is not None]
        refuse(
            {
                "epochs must not be negative": self.epochs >= 0,
                "the batch size must be at least 2": self.batch_size >= 2,
                "the learning rate must be positive": 0 < self.learning_rate < math.inf,
                "warm-up epochs must not be negative": 0 <= self.warmup_epochs < math.inf,
                "weight decay must not be negative": 0 <= self.weight_decay < math.inf,
                "label smoothing must be from 0 to below 1": 0 <= self.label_smoothing < 1,
                "the EMA decay must be from 0 to below 1": 0 <= self.ema_decay < 1,
                "the smallest crop must be above 0, up to 1": 0 < self.min_crop_area <= 1,
                "the policy's layers must be at least 1": self.policy_layers >= 1,
                "magnitudes must be from 0 to 30": 0 <= self.policy_magnitude <= 30
                and 0 <= self.first_magnitude <= 30,
                "mixup and cutmix must not be negative": 0 <= self.mixup < math.inf
                and 0 <= self.cutmix < math.inf,
                "erasing must be from 0 to 1": 0 <= self.erasing <= 1,
                "dropout must be from 0 to below 1": all(0 <= rate < 1 for rate in rates),
                "stages must be at least 1": self.stages >= 1,
                "the first size must be above 0, up to 1": 0 < self.first_size <= 1,
            }
        )

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, counted from 0."""
        warmup = self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "exponential":
            return self.learning_rate * 0.97 ** math.floor(step / steps_per_epoch / 2.4)
        total = self.epochs * steps_per_epoch
        progress = min((step - warmup) / max(total - warmup, 1), 1.0)
        if self.schedule == "poly":
            return self.learning_rate * math.pow(1 - progress, POLY_POWER)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def stage(self, epoch: int, resolution: int) -> Difficulty:
        """How hard the photos of an epoch are, counted from 0.

        As the released code of EfficientNetV2 has it (``main.py``, ``main_tf2.py``): stage i of n
        trains at ``base + (resolution - base) * (i + 1) / n`` pixels, so that the last one has
        the full side, and magnitude, mixup and cutmix rise linearly from their first to their
        last value. The paper (table 6) lets dropout rise too; the code keeps it constant.

        Args:
            epoch: counted from 0.
            resolution: the full side of the input in pixels.
        """
        stages = min(self.stages, self.epochs)  # so that the last epoch has the full side
        if stages <= 1:
            return Difficulty(
                resolution, self.policy_magnitude, self.mixup, self.cutmix, self.dropout
            )
        index = epoch * stages // self.epochs
        share = index / (stages - 1)
        base = self.first_size * resolution
        dropout = self.dropout
        if self.first_dropout is not None and dropout is not None:
            dropout = self.first_dropout + (dropout - self.first_dropout) * share
        return Difficulty(
            round(base + (resolution - base) * (index + 1) / stages),
            self.first_magnitude + (self.policy_magnitude - self.first_magnitude) * share,
            self.mixup * share,
            self.cutmix * share,
            dropout,
        )


@dataclass(frozen=True)
class Difficulty:
    """What grows in the course of a progressive run.

    Attributes:
        resolution: side of the input in pixels.
        magnitude: of RandAugment.
        mixup: alpha; 0 for none.
        cutmix: alpha; 0 for none.
        dropout: before the classifier; None for the variant's own rate.
    """

    resolution: int
    magnitude: float
    mixup: float
    cutmix: float
    dropout: float | None


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
        refuse(
            {
                "the scales' learning rate must not be negative": self.scale_rate >= 0,
                "the labels' share must be from 0 to 1": 0 <= self.label_share <= 1,
                "the frozen share must be from 0 to 1": 0 <= self.frozen <= 1,
            }
        )


@dataclass(frozen=True)
class StudentRecipe(Recipe):
    """Self-training with a noisy student (Xie et al. 2019, arXiv 1911.04252); of the student.

    Attributes:
        teacher: name or file of the first teacher's recipe.
        iterations: students, each the teacher of the next.
        confidence: least probability of a pseudo-label that is taken.
        balance: whether each class gets as many pseudo-labelled photos as the others: the most
            confident ones of a large class, those of a small one repeatedly.
        soft: whether the student learns all of the teacher's probabilities, not its answer alone.
        labelled_repeats: how often an epoch shows each labelled photo.
        start: what a student starts from: ``weights``, as the first teacher did, or ``teacher``.
    """

    teacher: str = "finetune"
    iterations: int = 1
    confidence: float = 0.3
    balance: bool = True
    soft: bool = True
    labelled_repeats: int = 1
    start: str = "weights"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start not in STUDENT_STARTS:
            raise UsageError(
                f"unknown start '{self.start}'", hint=did_you_mean(self.start, STUDENT_STARTS)
            )
        refuse(
            {
                "iterations must be at least 1": self.iterations >= 1,
                "the confidence must be from 0 to below 1": 0 <= self.confidence < 1,
                "labelled repeats must be at least 1": self.labelled_repeats >= 1,
            }
        )


def read_weights(text: str) -> tuple[float, ...]:
    """The numbers of `Recipe.class_weights`; none of ``none``.

    Raises:
        UsageError: it is no list of numbers above 0.
    """
    if text == UNWEIGHTED:
        return ()
    try:
        weights = tuple(float(number) for number in text.split(","))
    except ValueError:
        weights = ()
    if not weights or not all(0 < weight < math.inf for weight in weights):
        raise UsageError(
            f"unknown class weights '{text}'",
            hint="none, balanced, or a number above 0 for each class: 1,2,0.5",
        )
    return weights


def refuse(checks: dict[str, bool]) -> None:
    """Raises the first text whose condition does not hold, as a UsageError."""
    for text, holds in checks.items():
        if not holds:
            raise UsageError(text)
