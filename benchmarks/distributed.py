"""How much faster several processes train than one: images/s of `edgekit train` on loopback.

    python benchmarks/distributed.py --model b0 --processes 2

Every process has one thread, so that a machine with as many free cores as processes could at best
be as many times as fast. The global batch is the same; rounds alternate, and the median counts.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def images_per_s(given: argparse.Namespace, processes: int) -> float:
    """Trains one epoch on the built-in photos; photos of all processes per second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={processes}", "-m", "edgekit", "train", given.model, "--quiet"),
            *("--epochs", "1", "--batch-size", str(given.batch), "--out", f"{folder}/run"),
            *("--resolution", str(given.resolution), "--threads", "1", "--workers", "1"),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        table = Path(folder, "run", f"{given.model}-history.csv")
        (epoch,) = csv.DictReader(table.read_text().splitlines())
        return float(epoch["images_per_s"])


def main() -> None:
    """Prints the speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="b0")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    rounds = [
        (images_per_s(given, 1), images_per_s(given, given.processes)) for _ in range(given.rounds)
    ]
    alone, together = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
    ratio = statistics.median(several / one for one, several in rounds)
    print(f"{given.model} at {given.resolution} px, batch {given.batch}, a thread a process:")
    print(f"1 process {alone:.1f} images/s, {given.processes} processes {together:.1f} images/s")
    print(f"{ratio:.2f} times as fast; rounds {', '.join(f'{b / a:.2f}' for a, b in rounds)}")


if __name__ == "__main__":
    main()
