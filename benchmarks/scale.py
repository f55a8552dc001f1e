"""ImageNet's count of photos: how soon training starts and goes on, and how its memory grows.

    python benchmarks/scale.py --folder /big/disk/scale --photos 130000 1300000
    python benchmarks/scale.py --photos 13000 --seconds 20

Writes WebDataset shards of tiny JPEGs, no two alike, in 1,000 classes, with a validation photo for
every 26 for training. Then runs `edgekit train` on them in a new folder as a user would: with
nothing that an earlier run has left. Each line is a run of a narrow network that trains for
``--seconds``, is killed (SIGKILL) once a checkpoint within the epoch has been written, and goes on.
Memory is the proportional set size of all its processes, in MiB: the most before the first step,
and the means of the first and the last third of training.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES, IN_A_SHARD, DISTINCT = 1000, 10_000, 2000
VALIDATION_ONE_IN = 26  # ImageNet: 50,000 beside 1,281,167


def photos() -> Iterator[bytes]:
    """JPEGs of 16 to 32 px, no two with the same bytes."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DISTINCT):
        height, width = rng.integers(16, 33, 2)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        file = io.BytesIO()
        coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(file, "JPEG")
        drawn.append(file.getvalue())
    number = 0
    while True:
        comment = b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big")  # a comment of 8 bytes
        contents = drawn[number % DISTINCT]
        yield contents[:2] + comment + contents[2:]
        number += 1


def write_shards(folder: Path, name: str, count: int, source: Iterator[bytes]) -> str:
    """Writes ``count`` photos with a ``cls`` each; returns what names the shards."""
    last = (count - 1) // IN_A_SHARD
    for shard in range(last + 1):
        path = folder / f"{name}-{shard:04d}.tar"
        numbers = range(shard * IN_A_SHARD, min((shard + 1) * IN_A_SHARD, count))
        with path.open("wb") as file:
            for number in numbers:
                label = str(number * 7919 % CLASSES).encode()
                for suffix, contents in (("cls", label), ("jpg", next(source))):
                    header = tarfile.TarInfo(f"{name}{number:08d}.{suffix}")
                    header.size = len(contents)
                    file.write(header.tobuf(tarfile.USTAR_FORMAT))
                    file.write(contents + bytes(-len(contents) % tarfile.BLOCKSIZE))
            file.write(bytes(2 * tarfile.BLOCKSIZE))
    return str(folder / f"{name}-{{0000..{last:04d}}}.tar")


@dataclass
class Run:
    """A run of `edgekit train` that is watched.

    Attributes:
        first_step: seconds until the first step was done.
        cpu: CPU seconds until then, of all cores.
        start: that step, counted from 0.
        memory: (seconds, MiB) over time.
    """

    first_step: float = 0.0
    cpu: float = 0.0
    start: int = -1
    memory: list[tuple[float, float]] = field(default_factory=list)

    def before(self) -> float:
        """The most before the first step."""
        return max(mib for seconds, mib in self.memory if seconds <= self.first_step)

    def thirds(self) -> tuple[float, float]:
        """Means of the first and the last third after it."""
        later = [mib for seconds, mib in self.memory if seconds > self.first_step]
        third = max(1, len(later) // 3)
        return statistics.mean(later[:third]), statistics.mean(later[-third:])


def usage_of(session: int) -> tuple[float, float]:
    """The proportional set size of all processes of a session in MiB, and their CPU seconds."""
    kib = ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
            ticks += sum(map(int, fields[11:15]))  # its own, and those of children that ended
            lines = (folder / "smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:  # it has ended
            continue
    return kib / 1024, ticks / os.sysconf("SC_CLK_TCK")


def steps_in(out: Path, known: set[Path]) -> tuple[Path, int] | None:
    """The event file of a new run once it has a step, and the number of its first step."""
    for path in out.glob("stages/train-*.partial/events.out.tfevents.*"):
        if path not in known and b"step/loss" in path.read_bytes():
            return path, int(path.name.rpartition(".")[2])
    return None


def watch(command: list[str], out: Path, seconds: float) -> Run:
    """Starts a run, and kills it when it has trained for so long and saved since it began."""
    known = set(out.glob("stages/train-*.partial/events.out.tfevents.*"))
    run, started, began = Run(), time.monotonic(), time.time()
    with (out.with_suffix(".log")).open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        while process.poll() is None:
            now = time.monotonic() - started
            mib, cpu = usage_of(process.pid)
            run.memory.append((now, mib))
            if run.start < 0 and (found := steps_in(out, known)):
                run.first_step, run.start, run.cpu = now, found[1], cpu
            saved = any(
                path.stat().st_mtime > began
                for path in out.glob("stages/train-*.partial/checkpoint.pt")
            )
            if run.start >= 0 and saved and now - run.first_step > seconds:
                break
            time.sleep(0.25)
        else:
            raise RuntimeError(f"training ended: see {out.with_suffix('.log')}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return run


def train(folder: Path, count: int, seconds: float, batch: int) -> tuple[Run, Run]:
    """Writes photos, and starts a training on them twice."""
    source = photos()
    shards = folder / f"shards-{count}"
    shards.mkdir(parents=True, exist_ok=True)
    named = {
        "--data": write_shards(shards, "train", count, source),
        "--val": write_shards(shards, "val", max(CLASSES, count // VALIDATION_ONE_IN), source),
    }
    out = Path(tempfile.mkdtemp(prefix=f"run-{count}-", dir=folder))
    command = [
        *(sys.executable, "-m", "edgekit", "train", "lite0", "--width", "0.1", "--depth", "0.1"),
        *("--resolution", "32", "--weights", "none", "--batch-size", str(batch)),
        *("--save-minutes", str(min(seconds / 120, 10)), "--out", str(out)),
        *(word for pair in named.items() for word in pair),
    ]
    return watch(command, out, seconds), watch(command, out, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="for shards and runs [a temporary one]")
    parser.add_argument("--photos", type=int, nargs="+", default=[13_000])
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, twice")
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-scale-") as spare:
        folder = given.folder or Path(spare)
        print("photos     run     first step s  CPU s  from step  before MiB  training MiB, thirds")
        for count in given.photos:
            for name, run in zip(
                ("start", "resume"), train(folder, count, given.seconds, given.batch), strict=True
            ):
                first, last = run.thirds()
                print(
                    f"{count:<10} {name:<7} {run.first_step:12.1f} {run.cpu:6.1f} {run.start:10} "
                    f"{run.before():11.0f}  {first:.0f} to {last:.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
