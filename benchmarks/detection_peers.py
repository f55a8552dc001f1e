"""Our EfficientDet beside effdet's, trained for as long.

Both start from the same backbone's weights, and see the same photos at the same size, varied alike
and in the same order. Each is trained with its library's own recipe: ours is that of
`edgekit build`; its, that of its training script (SGD with momentum, 0.08 for 64 photos, an epoch
of warm-up, cosine, gradients clipped at a norm of 10), in 16 photos a step. Each has the anchors of
its own weights. Both are measured by the same code on the same photos.

``--effdet`` names a folder with effdet 0.4.1, timm and what they need: see the Makefile.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import within_minutes
from torch import Tensor, nn
from within_minutes import Budget, budget_of

from edgekit.data.batches import TrainBatch
from edgekit.data.boxes.anchors import OLD_RATIOS
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Splits
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.predict import predict, to_input
from edgekit.runs import open_run
from edgekit.tasks.registry import find_task
from edgekit.training.recipe import Recipe

BATCH = 16
RATE, FIRST_RATE, RATE_BATCH, MOMENTUM, DECAY, CLIP = 0.08, 0.008, 64, 0.9, 4e-5, 10.0
#: What effdet imports, and none of its networks computes with.
STUBBED = ("torchvision", "pycocotools", "effdet.data", "effdet.evaluator")


@dataclass(frozen=True)
class Trained:
    """A network after training.

    Attributes:
        name: of the library, and of the form where it is not fp32.
        epochs: that were trained.
        minutes: that these took.
        figures: of the validation photos, as rows of a report have them.
    """

    name: str
    epochs: int
    minutes: float
    figures: dict[str, Any]


def main() -> None:
    """Trains a network in both libraries and prints what they reach."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="../shared/data/bccd")
    parser.add_argument(
        "--backbone", default="../shared/weights/efficientnet-lite0_flowers5_timm.safetensors"
    )
    parser.add_argument("--networks", nargs="+", default=["det-lite0"])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--epochs", type=int, help="of each, instead of minutes")
    parser.add_argument("--resolution", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--effdet", default=".effdet")
    parser.add_argument("--out", type=Path, help="keep our builds here")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name in given.networks:
        with TemporaryDirectory() as scratch:
            rows = compare(name, given, given.out or Path(scratch))
        print_table(name, rows, budget_of(given))
        sys.stdout.flush()


def compare(name: str, given: argparse.Namespace, folder: Path) -> list[Trained]:
    """Trains a network in both libraries; returns its rows."""
    common = {
        "data": given.data,
        "weights": given.backbone,
        "resolution": given.resolution,
        "threads": given.threads,
        "workers": given.threads,
    }
    run, epochs, minutes = within_minutes.build(name, budget_of(given), folder, common)
    rows = {row["stage"]: dict(row) for row in run.rows}
    ours = [
        Trained(f"edgekit {form}", epochs, minutes, rows[stage])
        for form, stage in (("fp32", "fp32-torch"), ("int8", "w8a8-tflite"))
    ]
    finished, recipe = open_run(folder / name), within_minutes.recipe_of(folder / name)
    splits, record = finished.splits(), finished.preprocessing
    return [*ours, train_theirs(name, given, splits, record, recipe)]


def train_theirs(
    name: str, given: argparse.Namespace, splits: Splits, record: Preprocessing, recipe: Recipe
) -> Trained:
    """Trains the same network of effdet for as long."""
    torch.manual_seed(0)
    network, bench, scale = make_theirs(name, given, len(splits.labels))
    task = find_task(record.task)
    augmentation = task.learning.augmentation(
        crop_area=(recipe.min_crop_area, 1.0), flip=recipe.flip
    )
    optimizer = torch.optim.SGD(
        bench.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
    )
    rate_at = rates(len(splits.train) // BATCH)

    def step(batch: TrainBatch, share: float) -> None:
        bench.train()
        for group in optimizer.param_groups:
            group["lr"] = rate_at(share)
        labels = torch.from_numpy(batch.labels)
        known = labels[..., 4] >= 0
        corners = torch.where(known[..., None], labels[..., :4] * given.resolution, -1.0)
        classes = torch.where(known, labels[..., 4] + 1, -1.0)  # theirs begin at 1
        losses = bench(to_input(batch.pixels, record, "cpu"), {"bbox": corners, "cls": classes})
        optimizer.zero_grad()
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(bench.parameters(), CLIP)
        optimizer.step()

    epochs, minutes = within_minutes.train(
        step,
        budget_of(given),
        splits.train,
        record,
        batch_size=BATCH,
        augmentation=augmentation,
        workers=given.threads,
    )
    if record.anchors is None:
        raise RuntimeError(f"{name} has no anchors")
    theirs = replace(record, anchors=replace(record.anchors, scale=scale, ratios=OLD_RATIOS))
    joined = _Joined(network, len(splits.labels)).eval()
    outputs = predict(joined, splits.val, theirs, keep=task.keep)
    figures = task.measure(outputs, task.labels(splits.val, theirs))
    return Trained("effdet fp32", epochs, minutes, figures)


def rates(steps: int) -> Callable[[float], float]:
    """Their schedule: an epoch of warm-up, then a cosine."""
    rate, first, done = RATE * BATCH / RATE_BATCH, FIRST_RATE * BATCH / RATE_BATCH, 0

    def rate_at(share: float) -> float:
        nonlocal done
        done += 1
        if done <= steps:
            return first + (rate - first) * done / steps
        return rate * 0.5 * (1 + math.cos(math.pi * share))

    return rate_at


def make_theirs(
    name: str, given: argparse.Namespace, classes: int
) -> tuple[nn.Module, nn.Module, float]:
    """Their network with the backbone's weights, what trains it, and the scale of its anchors."""
    effdet = import_effdet(given.effdet)
    config = effdet.get_efficientdet_config(f"tf_efficientdet_{find_spec(name).backbone.name}")
    config.image_size = (given.resolution, given.resolution)
    config.num_classes = classes
    network = effdet.EfficientDet(config, pretrained_backbone=False)
    network.backbone.load_state_dict(within_minutes.backbone_of(given.backbone))
    return network, effdet.DetBenchTrain(network), float(config.anchor_scale)


class _Joined(nn.Module):
    """Their network with outputs as ours: offsets and logits of all anchors, [n, A, 4 + C]."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor) -> Tensor:
        """Maps photos, float NCHW."""
        maps = self.network(x)
        logits, boxes = (
            torch.cat([one.permute(0, 2, 3, 1).reshape(len(x), -1, columns) for one in levels], 1)
            for levels, columns in zip(maps, (self.classes, 4), strict=True)
        )
        return torch.cat([boxes, logits], -1)


def import_effdet(folder: str) -> Any:
    """Imports the library, without what reads and measures data sets."""
    import training_peers

    training_peers.STUBBED = STUBBED
    sys.path.insert(0, folder)
    sys.meta_path.insert(0, training_peers._Stubs())
    # It compiles functions when it is imported, among them one that calls torchvision's.
    torch.jit._state.disable()
    import effdet

    return effdet


def print_table(name: str, rows: list[Trained], budget: Budget) -> None:
    """Prints what each reached."""
    print(f"\n{name}, {budget} of training each")
    print(f"{'':<14}{'epochs':>7}{'min':>7}{'AP':>8}{'95 %':>18}{'AP50':>8}{'AP75':>8}{'drop':>7}")
    for row in rows:
        found = {key: 100 * row.figures[key] for key in ("ap", "ap50", "ap75")}
        low, high = (100 * float(value) for value in np.array(row.figures["ap_ci95"]))
        drop = row.figures.get("drop_pp")
        print(
            f"{row.name:<14}{row.epochs:>7}{row.minutes:>7.1f}{found['ap']:>8.2f}"
            f"{low:>8.2f} to {high:.2f}{found['ap50']:>8.2f}{found['ap75']:>8.2f}"
            + (f"{drop:>7.2f}" if drop is not None else "")
        )


if __name__ == "__main__":
    main()
