"""How the float network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.options.fields import PHOTOS, option
from edgekit.training.recipe import SCHEDULES, refuse
from edgekit.training.recipe_files import NAMES

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
#: Whose tensor names and padding a weights file has.
SOURCES = (
    "auto",
    "edgekit",
    "smp",
    "effdet",
    "automl",
    "keras",
    "timm",
    "timm-tf",
    "torchvision",
    "lukemelas",
    "tf1",
)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class TrainingOptions:
    """What training starts from, and its recipe."""

    weights: str | None = option(
        None,
        "Start from a file, from the published weights, from a repository on a model hub (a tag of "
        "timm's is one), or from random ones. [imagenet with --data, none without]",
        "FILE|imagenet|hf://ORG/NAME|none",
        everyday=True,
    )
    weights_source: str = option(
        "auto", f"Whose file --weights is: {', '.join(SOURCES)}.", known=SOURCES
    )
    mirror: str | None = option(
        None,
        "Folder or URL under which the published weights lie, or the repositories of a hub.",
        "URL|FOLDER",
    )
    recipes: tuple[str, ...] = option(
        (),
        f"How to train: {', '.join(NAMES)}, or a file; may be repeated, for training and for "
        "training in 8 bits. [finetune with --weights, scratch without; qat]",
        "NAME|FILE",
        everyday=True,
    )
    epochs: int | None = option(
        None,
        "Passes over the training photos; 0 trains nothing. [by the recipe]",
        least=0,
        everyday=True,
    )
    batch_size: int | None = option(
        None, "Photos per training step, of all processes together. [by the recipe]"
    )
    optimizer: str | None = option(None, "adamw, sgd or rmsprop. [by the recipe]")
    learning_rate: float | None = option(
        None, "At its peak. [by the recipe, scaled with the batch]"
    )
    schedule: str | None = option(
        None, f"Decay of the learning rate: {', '.join(SCHEDULES)}. [by the recipe]"
    )
    warmup_epochs: float | None = option(
        None, "Linear rise of the learning rate. [by the recipe; a tenth of the epochs, at most 1]"
    )
    weight_decay: float | None = option(None, "On kernels only. [by the recipe; 1e-5]")
    loss: str | None = option(
        None,
        "What a step makes smaller, one of the task's losses. [by the recipe]",
        "NAME",
    )
    class_weights: str | None = option(
        None,
        "Of each class in the loss: none, balanced by the training labels, or numbers: 1,2,0.5. "
        "[by the recipe; none]",
        "none|balanced|NUMBERS",
    )
    label_smoothing: float | None = option(
        None, "Share of the target spread over all classes. [by the recipe; 0.1]"
    )
    ema_decay: float | None = option(
        None, "Of the averaged weights that are kept; 0 for none. [by the recipe; 0.9999]"
    )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class AugmentationOptions:
    """What keeps training from learning single photos; `Recipe` checks the values."""

    min_crop_area: float | None = option(
        None, "Smallest share of a photo in a random crop. [by the recipe; 0.3, 0.7 for shapes]"
    )
    flip: bool | None = option(None, "Mirror training photos at random. [by the recipe; yes]")
    policy: str | None = option(
        None, "Augmentation: none, rand (RandAugment) or auto (AutoAugment v0). [by the recipe]"
    )
    policy_layers: int | None = option(None, "Operations per photo of RandAugment. [2]")
    policy_magnitude: float | None = option(None, "Of RandAugment, from 0 to 30. [9]")
    mixup: float | None = option(None, "Alpha of blended photos; 0 for none. [by the recipe]")
    cutmix: float | None = option(None, "Alpha of pasted rectangles; 0 for none. [by the recipe]")
    erasing: float | None = option(None, "Share of photos with an erased rectangle. [0]")
    dropout: float | None = option(None, "Before the classifier. [the variant's]")
    drop_connect: bool | None = option(
        None, "Drop residual branches at random. [by the recipe; from 50 epochs on]"
    )
    freeze_norm: bool | None = option(
        None, "Keep the statistics of batch normalizations. [by the recipe]"
    )
    stages: int | None = option(
        None, "Of progressive learning, in which size and augmentation grow; 1 for none. [1]"
    )
    first_size: float | None = option(
        None, "Side from which the input grows, over the full one. [by the recipe]"
    )
    first_magnitude: float | None = option(None, "Of RandAugment in the first stage. [5]")
    first_dropout: float | None = option(
        None, "In the first stage, to grow to --dropout. [constant]"
    )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class StudentOptions:
    """Photos without classes, and the students that learn from them."""

    unlabelled: str | None = option(
        None, "Photos without classes, likewise, for the recipe noisy-student.", PHOTOS
    )
    student_teacher: str | None = option(None, "The teacher's recipe. [finetune]")
    student_iterations: int | None = option(
        None, "Students, each the teacher of the next. [by the recipe]"
    )
    student_confidence: float | None = option(
        None, "Least probability of a pseudo-label. [by the recipe]"
    )
    student_balance: bool | None = option(
        None, "As many pseudo-labelled photos of each class. [by the recipe]"
    )
    student_soft: bool | None = option(
        None, "Learn the teacher's probabilities, not its answer alone. [by the recipe]"
    )
    student_labelled_repeats: int | None = option(
        None, "How often an epoch shows each labelled photo. [by the recipe]"
    )
    student_start: str | None = option(
        None, "What a student starts from: weights or teacher. [by the recipe]"
    )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class EngineOptions:
    """What training computes on and how."""

    precision: str = option(
        "auto",
        "Of training: fp32, bf16, fp16 (GPU), or what the processor is fastest in.",
        known=PRECISIONS,
    )
    torch_compile: bool = option(False, "Compile the network for training, where torch can.")
    micro_batch: int | None = option(
        None,
        "Photos at once; a step adds up as many as it takes. [all; what fits on a GPU]",
        least=1,
    )
    recompute: bool = option(
        False, "Keep less for the gradient and compute it again: larger inputs, slower steps."
    )
    sync_norm: bool = option(False, "Normalize over the batches of all processes (GPUs).")
    workers: int | None = option(None, "Threads that decode photos. [by the cores]", least=1)
    cache_photos: float = option(
        0.0, "Keep decoded training photos, up to so many GiB of memory.", least=0
    )
    save_minutes: float = option(
        10.0, "Save within an epoch so often; 0 for after epochs only.", least=0
    )
    torch_device: str = option("auto", "Where torch computes: auto, cpu, cuda, mps.")

    def check(self) -> None:
        """Raises UsageError where a value cannot be used."""
        both = self.recompute and self.torch_compile
        refuse({"--recompute and --torch-compile exclude each other": not both})
