"""Training speed: ours, timm's network in a plain loop, and Keras, on the same batches.

    python benchmarks/training.py --model b0 --batch 32 --json FILE
    python benchmarks/training.py --modes step --precision bf16 --compile

Modes: ``forward`` classifies in inference mode, ours without its batch normalizations as every
evaluation of a build does, ``step`` is forward, loss, backward and SGD on
random tensors in memory, ``loop`` the same from JPEG files, decoded, cropped and mirrored.

Each library has a process of its own, in which it idles while others have their turn; turns go
round, and the median counts. timm has the faster of its layouts and keeps freed memory as a build
of ours does; ``timm-plain`` leaves that to the C library, as a script would. Its networks are those
with symmetric padding, where there are weights for them: they are faster than those that pad as
TensorFlow. It needs no torchvision: `make .timm/ready` installs it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from training_peers import Setup, files_of
from training_worker import LIBRARIES

from edgekit.data.synthetic import LABELS, draw
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.networks.efficientnet.find import find_spec
from edgekit.system.files import write_json
from edgekit.system.host import describe_host, usable_cores

SCHEMA_VERSION = 1
MODES = ("forward", "step", "loop")
BASELINE = "timm"
#: Where `make .timm/ready` installs timm, without the torchvision that it does not need.
TIMM = Path(__file__).parent.parent / ".timm"
WORKER = Path(__file__).with_name("training_worker.py")
VERSIONS = ("torch", "timm", "keras", "tensorflow", "tensorflow-cpu", "pillow")
#: Networks are equals if their parameters and multiply-accumulates differ by less.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Row:
    """A library in a mode.

    Attributes:
        images_per_s: median of the turns; None where there is a ``problem``.
        ratio: to timm in the same turns, median; None without timm.
        note: what was chosen for the library.
    """

    library: str
    model: str
    batch: int
    resolution: int
    precision: str
    device: str
    compiled: bool
    mode: str
    images_per_s: float | None
    ratio: float | None = None
    turns: tuple[float, ...] = ()
    note: str = ""
    problem: str | None = None


class Worker:
    """A library in its own process, see training_worker.py."""

    def __init__(self, library: str, setup: Setup) -> None:
        self.library, self.setup = library, setup
        # Threads that wait must not spin: others have their turn then.
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | {"OMP_NUM_THREADS": str(setup.threads)},
            text=True,
        )
        self.problem: str | None = None
        self.facts = self.ask(asdict(setup))

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Asks, and waits for the answer; a problem is kept and ends it."""
        if self.problem:
            return {}
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline() if self.process.stdout else ""
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"problem": "its process ended"}
        self.problem = answer.get("problem")
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def measure(
    libraries: Sequence[str], setup: Setup, modes: Sequence[str], repeats: int, steps: int
) -> list[Row]:
    """Measures the libraries in turns.

    Args:
        libraries: their names; one that cannot be measured gets rows that say why.
        setup: what all of them do.
        modes: of `MODES`.
        repeats: turns of each library and mode.
        steps: batches of a turn, after one that is not counted.

    Raises:
        EdgekitError: their networks are not equals.
    """
    variants = [(name, False) for name in libraries]
    variants += [(name, True) for name in libraries if setup.compile]
    with ExitStack() as stack:
        workers = []
        for name, compiled in variants:
            _say(f"{name}{', compiled' if compiled else ''} …")
            workers.append(stack.enter_context(Worker(name, replace(setup, compile=compiled))))
        _check_equal(workers)
        rows = []
        for mode in modes:
            _say(f"{mode} …")
            rows += _turns(workers, mode, repeats, steps)
    return rows


def _check_equal(workers: Sequence[Worker]) -> None:
    known = [worker for worker in workers if not worker.problem]
    for worker in known[1:]:
        for what in ("parameters", "macs"):
            ours, theirs = known[0].facts[what], worker.facts[what]
            if abs(theirs / ours - 1) > TOLERANCE:
                raise EdgekitError(
                    f"{known[0].library} and {worker.library} do not compute the same network",
                    cause=f"{what}: {ours:,} and {theirs:,}",
                )


def _turns(workers: Sequence[Worker], mode: str, repeats: int, steps: int) -> list[Row]:
    request = {"mode": mode, "steps": steps}
    turns: list[list[float]] = [[] for _ in workers]
    for _ in range(repeats):
        for worker, found in zip(workers, turns, strict=True):
            speed = worker.ask(request).get("images_per_s")
            if speed:
                found.append(speed)
    named = zip(workers, turns, strict=True)
    base = next((t for w, t in named if w.library == BASELINE and not w.setup.compile), [])
    return [_row(*pair, base, mode) for pair in zip(workers, turns, strict=True)]


def _row(worker: Worker, turns: list[float], base: list[float], mode: str) -> Row:
    setup, measured = worker.setup, bool(turns) and not worker.problem
    pairs = list(zip(turns, base, strict=False))
    return Row(
        worker.library,
        setup.model,
        setup.batch,
        setup.resolution,
        setup.precision,
        setup.device,
        setup.compile,
        mode,
        statistics.median(turns) if measured else None,
        statistics.median(a / b for a, b in pairs) if measured and pairs else None,
        tuple(turns),
        worker.facts.get("note", ""),
        worker.problem,
    )


def make_photos(folder: Path, count: int) -> None:
    """Writes JPEG files of 500 x 375 pixels, the built-in shapes, into class folders."""
    for label, index in ((index % len(LABELS), index) for index in range(count)):
        image = draw(label, np.random.default_rng(index), 500).crop((0, 62, 500, 437))
        path = folder / LABELS[label] / f"{index:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        image.save(path, quality=90)


def table(rows: Sequence[Row]) -> Table:
    """The rows, or why there is no figure."""
    found = Table(box=None, pad_edge=False)
    for title in ("mode", "library", "images/s", "/ timm", "lowest", "highest", "note"):
        found.add_column(title, justify="left" if title in ("mode", "library", "note") else "right")
    for row in rows:
        name = f"{row.library}, compiled" if row.compiled else row.library
        if row.images_per_s is None:
            found.add_row(row.mode, name, "", "", "", "", row.problem)
            continue
        ratio = f"{row.ratio:.2f}" if row.ratio else ""
        speeds = [f"{speed:.1f}" for speed in (row.images_per_s, min(row.turns), max(row.turns))]
        found.add_row(row.mode, name, speeds[0], ratio, *speeds[1:], row.note)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(
                given.libraries,
                _setup(given, Path(folder)),
                given.modes,
                given.repeats,
                given.steps,
            )
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    first = rows[0]
    print(
        f"{first.model} at {first.resolution} px, batch {first.batch}, {first.precision}, "
        f"{first.device}, {given.threads} threads, {given.repeats} turns of {given.steps} batches"
    )
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(table(rows))
    if given.json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "host": describe_host(VERSIONS),
            "threads": given.threads,
            "steps": given.steps,
            "rows": [asdict(row) for row in rows],
        }
        write_json(given.json, document)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    usual = [name for name in LIBRARIES if name != "timm-plain"]
    add("--model", default="b0", help="the variant: b0, lite0, v2-s, … [b0]")
    add("--batch", type=int, default=32)
    add("--resolution", type=int, help="side of the input in pixels [the variant's]")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--precision", choices=("fp32", "bf16"), default="fp32")
    add("--compile", action="store_true", help="measure the compiled networks too")
    add("--modes", nargs="+", choices=MODES, default=MODES, metavar="MODE", help=", ".join(MODES))
    add("--libraries", nargs="+", default=usual, metavar="NAME", help=", ".join(LIBRARIES))
    add("--repeats", type=int, default=5, help="turns of each library and mode")
    add("--steps", type=int, default=2, help="batches of a turn")
    add("--threads", type=int, default=usable_cores(), help="of each library [all cores]")
    add("--data", type=Path, help="folder of class folders of JPEG files [built-in shapes]")
    add("--timm", type=Path, default=TIMM, help="folder that timm is installed in")
    add("--json", type=Path, metavar="FILE", help="file to write the figures to")
    return parser


def _setup(given: argparse.Namespace, folder: Path) -> Setup:
    for name in given.libraries:
        if name not in LIBRARIES:
            raise UsageError(f"there is no '{name}'", hint=did_you_mean(name, LIBRARIES))
    spec = find_spec(given.model)
    if "loop" in given.modes:
        if given.data is None:
            make_photos(folder, max(64, 2 * given.batch))
        elif len(files_of(given.data)) < given.batch:
            raise UsageError(f"{given.data} has fewer than {given.batch} photos in class folders")
    return Setup(
        spec.name,
        given.batch,
        given.resolution or spec.resolution,
        given.precision,
        given.device,
        given.compile,
        given.threads,
        str(given.data or folder),
        str(given.timm) if given.timm else None,
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
