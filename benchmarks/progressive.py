"""What progressive learning saves: one training with an input that grows, one with the full side.

    python benchmarks/progressive.py --model v2-b0 --seeds 3

Both train on the built-in photos from random weights, with the same epochs, steps and rates, and
are validated at the full side after each epoch, which counts too. Prints the curves, and for each
seed top-1 at the end, the time, and the growing input's over the constant one's.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: The rate hardly falls, so that the last stage, alone at the full side, can still learn.
RECIPE = (
    *("--optimizer", "adamw", "--learning-rate", "3e-3", "--schedule", "exponential"),
    *("--warmup-epochs", "1", "--min-crop-area", "0.7", "--policy", "none", "--no-drop-connect"),
)


@dataclass(frozen=True)
class Run:
    """A training, epoch by epoch.

    Attributes:
        top1: on the validation photos at the full side, as a share.
        seconds: of each epoch, with its validation.
        sides: of the input, in pixels.
    """

    top1: tuple[float, ...]
    seconds: tuple[float, ...]
    sides: tuple[int, ...]

    def __str__(self) -> str:
        points = zip(self.sides, self.top1, strict=True)
        return " ".join(f"{side}:{100 * top1:.1f}" for side, top1 in points)


def train(given: argparse.Namespace, seed: int, growth: tuple[str, ...]) -> Run:
    """Trains in a process of its own and reads its history."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "edgekit", "train", given.model, "--quiet", *RECIPE, *growth),
            *("--epochs", str(given.epochs), "--batch-size", str(given.batch)),
            *("--resolution", str(given.resolution), "--seed", str(seed), "--out", folder),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        table = Path(folder, f"{given.model}-history.csv").read_text()
    epochs = list(csv.DictReader(table.splitlines()))
    return Run(
        tuple(float(epoch["val_top1"]) for epoch in epochs),
        tuple(float(epoch["seconds"]) for epoch in epochs),
        tuple(int(epoch["resolution"]) for epoch in epochs),
    )


def main() -> None:
    """Prints the curves and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="v2-b0")
    parser.add_argument("--resolution", type=int, default=128, help="the full side in pixels")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--first-size", type=float, default=0.25)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    growth = ("--stages", str(given.stages), "--first-size", str(given.first_size))
    pairs, ratios = [], []
    for seed in range(given.seeds):
        constant, growing = train(given, seed, ("--stages", "1")), train(given, seed, growth)
        pairs.append((constant, growing))
        ratios.append(sum(growing.seconds) / sum(constant.seconds))
        print(f"seed {seed}, side:top-1 of each epoch")
        for name, run in (("constant", constant), ("growing", growing)):
            end = f"{100 * run.top1[-1]:.1f} % in {sum(run.seconds):.0f} s"
            print(f"  {name:8} {end}: {run}")
        print(f"  {ratios[-1]:.2f} of the time", flush=True)
    for number, name in enumerate(("constant", "growing")):
        runs = [pair[number] for pair in pairs]
        top1 = statistics.mean(100 * run.top1[-1] for run in runs)
        seconds = statistics.mean(sum(run.seconds) for run in runs)
        print(f"{name:8} {top1:.2f} % in {seconds:.0f} s, means of {given.seeds} seeds")
    ratio = statistics.median(ratios)
    print(f"{given.model} at {given.resolution} px: {ratio:.2f} of the time, median")


if __name__ == "__main__":
    main()
