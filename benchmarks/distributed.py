"""How much faster several processes train than one: images/s of `edgekit train` on loopback.

    python benchmarks/distributed.py --model b0 --processes 2

Every process has a core and a thread of its own, as if it were a machine; the global batch is the
same. Beside one process and several together stand several apart: as many runs of their own at
once, each with its part of the batch, which need not wait for one another. What they lack to as
many times one is the machine's (memory, caches, the smaller batch), what those together lack to
them is the exchange of gradients. The second epoch counts, for the first draws the photos; rounds
alternate, and the median counts.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgekit.system.host import usable_cores

KINDS = ("one", "together", "apart")


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Whatever is started has these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(
    given: argparse.Namespace, out: Path, processes: int, batch: int
) -> subprocess.Popen[bytes]:
    """Starts two epochs on the built-in photos."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={processes}", "-m", "edgekit", "train", given.model, "--quiet"),
        *("--epochs", "2", "--batch-size", str(batch), "--out", str(out)),
        *("--resolution", str(given.resolution), "--threads", "1", "--workers", "1"),
    ]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def images_per_s(given: argparse.Namespace, kind: str) -> float:
    """Trains; photos of all processes per second in the last epoch."""
    cores = sorted(os.sched_getaffinity(0))[: given.processes]
    runs = {"one": [cores[:1]], "together": [cores], "apart": [[core] for core in cores]}[kind]
    started = []
    with tempfile.TemporaryDirectory() as folder:
        for number, share in enumerate(runs):
            out = Path(folder, str(number))
            with on_cores(share):
                run = start(given, out, len(share), given.batch // len(runs))
            started.append((out, run))
        return sum(speed(out, run, given.model) for out, run in started)


def speed(out: Path, run: subprocess.Popen[bytes], model: str) -> float:
    """Waits for a run and reads images/s of its last epoch."""
    _, errors = run.communicate()
    if run.returncode:
        sys.exit(errors.decode(errors="replace"))
    *_, epoch = csv.DictReader((out / f"{model}-history.csv").read_text().splitlines())
    return float(epoch["images_per_s"])


def main() -> None:
    """Prints the speeds and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="b0")
    parser.add_argument("--batch", type=int, default=64, help="of all processes together")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if (free := usable_cores()) < given.processes:
        sys.exit(f"error: {given.processes} processes need as many cores, there are {free}")
    rounds = [[images_per_s(given, kind) for kind in KINDS] for _ in range(given.rounds)]
    print(f"{given.model} at {given.resolution} px, batch {given.batch}, a core a process:")
    for kind, speeds in zip(KINDS, zip(*rounds, strict=True), strict=True):
        processes = 1 if kind == "one" else given.processes
        ratios = [speed / one for speed, (one, *_) in zip(speeds, rounds, strict=True)]
        print(
            f"{processes} {kind:9} {statistics.median(speeds):7.1f} images/s "
            f"{statistics.median(ratios):5.2f} times one; rounds "
            + ", ".join(f"{ratio:.2f}" for ratio in ratios)
        )


if __name__ == "__main__":
    main()
