"""Our U-Net and DeepLabV3+ beside those of segmentation_models_pytorch, trained for as long.

Both have the same decoder channels, start from the same backbone's weights, and see the same
photos at the same size, varied alike and in the same order. Each is trained with its library's own
recipe: ours is that of `edgekit build`; its, that of its CamVid example (Adam at 2e-4, cosine to
1e-5, Dice, 32 photos a step). Both are measured by the same code on the same photos.

``--smp`` names a folder with segmentation-models-pytorch 0.6.0, timm and what they need: see the
Makefile.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import within_minutes
from numpy.typing import NDArray
from torch import Tensor, nn
from within_minutes import Budget, budget_of

from edgekit.data.batches import TrainBatch
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import Splits
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.predict import predict, to_input
from edgekit.networks.segmentation.decoders import DeepLab, UNet
from edgekit.runs import open_run
from edgekit.tasks.registry import find_task
from edgekit.training.recipe import Recipe

BATCH, RATE, LAST_RATE = 32, 2e-4, 1e-5


@dataclass(frozen=True)
class Trained:
    """A network after training.

    Attributes:
        name: of the library, and of the form where it is not fp32.
        epochs: that were trained.
        minutes: that these took.
        figures: of the validation photos, as rows of a report have them.
        by_class: IoU of each class, NaN where no photo has it.
    """

    name: str
    epochs: int
    minutes: float
    figures: dict[str, Any]
    by_class: NDArray[np.float64]


def main() -> None:
    """Trains each network in both libraries and prints what they reach."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="../shared/data/camvid")
    parser.add_argument(
        "--backbone", default="../shared/weights/efficientnet-lite0_flowers5_timm.safetensors"
    )
    parser.add_argument("--networks", nargs="+", default=["unet-lite0", "deeplab-lite0"])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--epochs", type=int, help="of each, instead of minutes")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smp", default=".smp")
    parser.add_argument("--out", type=Path, help="keep our builds here")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name in given.networks:
        with TemporaryDirectory() as scratch:
            rows, labels = compare(name, given, given.out or Path(scratch))
        print_table(name, rows, labels, budget_of(given))
        sys.stdout.flush()


def compare(
    name: str, given: argparse.Namespace, folder: Path
) -> tuple[list[Trained], tuple[str, ...]]:
    """Trains a network in both libraries; returns its rows and the names of the classes."""
    ours = train_ours(name, given, folder)
    run = open_run(folder / name)
    splits, record = run.splits(), run.preprocessing
    theirs = train_theirs(name, given, splits, record, within_minutes.recipe_of(folder / name))
    return [*ours, theirs], splits.labels


def train_ours(name: str, given: argparse.Namespace, folder: Path) -> list[Trained]:
    """Builds a network with the epochs that fit: its rows in fp32 and int8."""
    common = {
        "data": given.data,
        "weights": given.backbone,
        "resolution": given.resolution,
        "threads": given.threads,
        "workers": given.threads,
    }
    run, epochs, minutes = within_minutes.build(name, budget_of(given), folder, common)
    outputs = {"fp32": "fp32-torch", "int8": "w8a8-tflite"}
    finished = open_run(folder / name)
    task = find_task(finished.preprocessing.task)
    labels = task.labels(finished.splits().val, finished.preprocessing)
    rows = {row["stage"]: row for row in run.rows}
    return [
        Trained(
            f"edgekit {form}",
            epochs,
            minutes,
            dict(rows[stage]),
            by_class(np.load(finished.stages[f"evaluate {stage}"] / "logits.npy"), labels, task),
        )
        for form, stage in outputs.items()
    ]


def train_theirs(
    name: str, given: argparse.Namespace, splits: Splits, record: Preprocessing, recipe: Recipe
) -> Trained:
    """Trains the same network of segmentation_models_pytorch for as long."""
    torch.manual_seed(0)
    smp = import_smp(given.smp)
    network = make_theirs(smp, name, len(splits.labels), given.backbone)
    loss = smp.losses.DiceLoss("multiclass", from_logits=True, ignore_index=255)
    task = find_task(record.task)
    augmentation = task.learning.augmentation(
        crop_area=(recipe.min_crop_area, 1.0), flip=recipe.flip
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)

    def step(batch: TrainBatch, share: float) -> None:
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = LAST_RATE + (RATE - LAST_RATE) * 0.5 * (1 + np.cos(np.pi * share))
        found: Tensor = network(to_input(batch.pixels, record, "cpu"))
        optimizer.zero_grad()
        loss(found, torch.from_numpy(batch.labels).long()).backward()
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
    outputs = predict(network.eval(), splits.val, record, keep=task.keep)
    labels = task.labels(splits.val, record)
    figures = task.measure(outputs, labels)
    return Trained("smp fp32", epochs, minutes, figures, by_class(outputs, labels, task))


def make_theirs(smp: Any, name: str, classes: int, backbone: str) -> nn.Module:
    """Their network with our decoder's channels and the backbone's weights."""
    spec = find_spec(name)
    encoder = f"tu-tf_efficientnet_{spec.backbone.name}"
    if isinstance(spec.decoder, UNet):
        network = smp.Unet(
            encoder, encoder_weights=None, classes=classes, decoder_channels=spec.decoder.channels
        )
    elif isinstance(spec.decoder, DeepLab):
        network = smp.DeepLabV3Plus(
            encoder,
            encoder_weights=None,
            classes=classes,
            encoder_output_stride=spec.decoder.output_stride,
            decoder_channels=spec.decoder.channels,
            decoder_atrous_rates=spec.decoder.rates or (6, 12, 18),
        )
    else:
        raise ValueError(f"the library has no decoder of {name}'s kind")
    network.encoder.model.load_state_dict(within_minutes.backbone_of(backbone))
    return network  # type: ignore[no-any-return]


def import_smp(folder: str) -> Any:
    """Imports the library, where torchvision does not fit to torch too."""
    import training_peers

    training_peers.STUBBED = ("torchvision",)
    sys.path.insert(0, folder)
    sys.meta_path.insert(0, training_peers._Stubs())
    import segmentation_models_pytorch

    return segmentation_models_pytorch


def by_class(outputs: NDArray[Any], labels: Any, task: Any) -> NDArray[np.float64]:
    """IoU of each class over all photos; NaN where it is neither there nor answered."""
    tally = np.asarray(task.tally(outputs, labels), np.float64)
    side = int(np.sqrt(len(tally)))
    counts = tally.reshape(side, side)
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float64] = counts.diagonal() / union
    return shares


def print_table(name: str, rows: list[Trained], labels: tuple[str, ...], budget: Budget) -> None:
    """Prints what each reached, then every class."""
    print(f"\n{name}, {budget} of training each")
    print(f"{'':<14}{'epochs':>7}{'min':>7}{'mIoU':>8}{'95 %':>18}{'pixels':>8}{'drop':>7}")
    for row in rows:
        low, high = row.figures["miou_ci95"]
        drop = row.figures.get("drop_pp")
        print(
            f"{row.name:<14}{row.epochs:>7}{row.minutes:>7.1f}{100 * row.figures['miou']:>8.2f}"
            f"{100 * low:>8.2f} to {100 * high:.2f}{100 * row.figures['pixel_accuracy']:>8.2f}"
            + (f"{drop:>7.2f}" if drop is not None else "")
        )
    print(f"\n{'IoU by class':<14}" + "".join(f"{row.name:>15}" for row in rows))
    for at, label in enumerate(labels):
        print(f"{label:<14}" + "".join(f"{100 * row.by_class[at]:>15.2f}" for row in rows))


if __name__ == "__main__":
    main()
