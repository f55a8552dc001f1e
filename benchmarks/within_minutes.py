"""Training for so many minutes: what comparisons of trained networks share.

The minutes are those of training alone, without validation: a first epoch tells how many epochs
fit into them. Where the machine has other work meanwhile, a number of epochs may be given instead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

import edgekit
from edgekit.data.augmentation.augment import Augmentation
from edgekit.data.batches import Part, TrainBatch, train_batches
from edgekit.data.image_set import PhotoSet
from edgekit.data.preprocessing import Preprocessing
from edgekit.system.files import read_json
from edgekit.training.recipe import Recipe

#: Parts of a classifier's state dict that a backbone does not have.
HEADS = ("conv_head.", "bn2.", "classifier.")
#: One step of a peer's training: the batch, and the share of the training that is done.
Step = Callable[[TrainBatch, float], None]


@dataclass(frozen=True)
class Budget:
    """How long a network may train.

    Attributes:
        minutes: of training.
        epochs: instead of as many as fit into the minutes.
    """

    minutes: float
    epochs: int | None = None

    def __str__(self) -> str:
        """In words."""
        return f"{self.minutes:g} minutes" if self.epochs is None else f"{self.epochs} epochs"

    def fitting(self, seconds: float) -> int:
        """Epochs, where one takes so long."""
        return self.epochs or max(1, round(60 * self.minutes / seconds))


def budget_of(given: argparse.Namespace) -> Budget:
    """The budget of a command's ``--minutes`` and ``--epochs``."""
    return Budget(given.minutes, given.epochs)


def backbone_of(path: str) -> dict[str, Tensor]:
    """The weights of a classifier of timm's without its head, for a peer's backbone."""
    from safetensors.torch import load_file

    return {key: value for key, value in load_file(path).items() if not key.startswith(HEADS)}


def build(
    name: str, budget: Budget, folder: Path, common: Mapping[str, Any]
) -> tuple[Any, int, float]:
    """Builds a network of ours with the epochs that fit.

    Args:
        name: of the network.
        budget: of the training.
        folder: the build's is in it, by the network's name.
        common: arguments of `edgekit.train` and of `edgekit.build`.

    Returns:
        What `edgekit.build` gives, how many epochs it trained, and the minutes that these took.
    """
    epochs = budget.epochs
    if epochs is None:
        with TemporaryDirectory() as scratch:
            trial = edgekit.train(name, epochs=2, out=Path(scratch) / name, **common)
        epochs = budget.fitting(_seconds_of_steps(trial.document, 1))
    run = edgekit.build(name, epochs=epochs, out=folder / name, **common)
    if run.document is None or run.document["training"] is None:
        raise RuntimeError("the build has no report of a training")
    history = run.document["training"]["history"]
    seconds = sum(_seconds_of_steps(run.document, at) for at in range(len(history)))
    return run, epochs, seconds / 60


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a finished build."""
    record = read_json(folder / "manifest.json")["recipe"]
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
    }
    return Recipe(**options)


def train(
    step: Step,
    budget: Budget,
    photos: PhotoSet,
    record: Preprocessing,
    *,
    batch_size: int,
    augmentation: Augmentation,
    workers: int,
) -> tuple[int, float]:
    """Trains a peer on the same photos, varied alike and in the same order.

    Args:
        step: called with each batch.
        budget: of the training.
        photos: n photos.
        record: how they are prepared.
        batch_size: photos of a step.
        augmentation: how they are varied.
        workers: threads that decode and vary.

    Returns:
        The epochs and the minutes that they took.
    """
    steps = len(photos) // min(batch_size, len(photos))
    epochs, spent, done = budget.epochs or 0, 0.0, 0
    while done < max(epochs, 1):
        part = Part(seed=0, epoch=done)
        batches = train_batches(
            photos, record, batch_size, part, augmentation=augmentation, workers=workers
        )
        began = time.perf_counter()
        with closing(batches):
            for number, batch in enumerate(batches):
                # How long the training is, is known after the first epoch.
                step(batch, (done * steps + number) / (epochs * steps) if epochs else 0.0)
        spent += time.perf_counter() - began
        done += 1
        if done == 1:
            epochs = budget.fitting(spent)
    return epochs, spent / 60


def _seconds_of_steps(document: Any, epoch: int) -> float:
    """Of an epoch, without its validation."""
    entry = document["training"]["history"][epoch]
    recipe = document["training"]["recipe"]
    photos = document["data"]["n_train"]
    batch = min(recipe["batch_size"], photos)
    return float(photos // batch * batch / entry["images_per_s"])
