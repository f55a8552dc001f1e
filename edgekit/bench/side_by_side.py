"""Measures model files side by side, of any mix of runtimes, on a machine that is never quiet.

Each file is first loaded in a process of its own, which gives its load, first run and memory. Then
every runtime has one process with all of its files, and these are asked in turn: in each round
every file runs for a while, in alternating order. One process works at a time. Whatever slows the
machine down slows neighbours in a round alike, so files are compared within rounds.

The runtimes' threads wait in a loop for a moment after a run, in case another follows. That is
left on, because it is what they do for everybody; a pause before each turn lets the others' end.
"""

from __future__ import annotations

import json
import math
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from edgekit import errors
from edgekit.data.images import UnreadableImageError, decode_image
from edgekit.errors import EdgekitError, UsageError
from edgekit.runtimes.open import RUNTIMES
from edgekit.system import processes as child
from edgekit.system.console import Progress
from edgekit.system.host import Host, describe_host, int8_dot_product, usable_cores
from edgekit.system.paths import StrPath
from edgekit.targets.measure.isolated import TIMEOUT_S

SCHEMA_VERSION = 1
CHILD = (sys.executable, "-m", "edgekit.bench.worker")
PACKAGES = (*sorted(runtime.package for runtime in RUNTIMES.values()), "numpy")
FLOAT = ("fp32", "fp16")
PAUSE_S = 0.1  # before each turn: longer than any runtime's threads spin
_KINDS = {
    kind.exit_code: kind
    for kind in (UsageError, errors.MissingToolError, errors.DeviceError, errors.CompileError)
}


class File(TypedDict):
    """What was measured of a file; times in milliseconds, of runs without copying the input."""

    path: str
    runtime: str  # name and version
    scheme: str  # of its quantization, such as "fp32" or "w8a8-static"
    size_bytes: int  # of all files that belong to the model
    not_a_classifier: str | None  # why its answers mean no classes; speed is all that is measured
    memory_bytes: int | None  # of the resident set after a run, above the runtime's own
    load_ms: float
    first_ms: float
    median_ms: float  # of all warm runs of all rounds, as p5, p95 and n
    p5_ms: float
    p95_ms: float
    n: int
    round_medians_ms: list[float]
    ratio: float  # to the reference: median over rounds of the ratio of this round's medians
    ratio_low: float  # the smallest of those ratios
    ratio_high: float  # the largest


class Failure(TypedDict):
    """A file that could not be measured."""

    path: str
    error: str


class Document(TypedDict):
    """Everything that was measured, as it is saved."""

    schema_version: int
    host: Host
    int8_dot_product: bool | None  # whether the CPU has such instructions; None: not known
    threads: int
    rounds: int
    seconds: float
    photo: str | None
    reference: str | None  # path of the file that ratios are to: the first that was measured
    files: list[File]
    failed: list[Failure]


@dataclass(frozen=True)
class Settings:
    """How files are measured.

    Attributes:
        rounds: how often each file has its turn.
        seconds: how long a turn is.
        threads: of each runtime's kernels; None for all cores that this process may use.
        photo: what every file is given; None for a drawn picture.
        timeout_s: how long a process may give no answer, beyond the turn itself.
        device: of .xml files: ``CPU``, ``GPU``, ``NPU`` or ``AUTO``.
        cache: folder for what OpenVINO compiles of them.
        worker: command of the processes that load and run them; `edgekit.bench.worker` unless
            given.

    Raises:
        UsageError: nothing can be measured so.
    """

    rounds: int = 5
    seconds: float = 1.0
    threads: int | None = None
    photo: Path | None = None
    timeout_s: float = TIMEOUT_S
    device: str = "CPU"
    cache: Path | None = None
    worker: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        given = (self.rounds, self.seconds, self.timeout_s, self.threads)
        if not all(0 < value < math.inf for value in given if value is not None):
            raise UsageError("rounds, seconds, threads and timeout must be numbers above 0")
        if self.photo is not None:
            try:
                decode_image(self.photo)
            except UnreadableImageError as error:
                raise UsageError(f"{self.photo} cannot be read", cause=error.reason) from error


def measure(
    paths: Sequence[StrPath],
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
) -> tuple[Document, list[EdgekitError]]:
    """Measures files against each other.

    Args:
        paths: .tflite, .onnx and .xml files; a file that stands twice is measured twice.
        settings: how; the defaults unless given.
        progress: is called as it goes.

    Returns:
        What was measured, and what went wrong with the files that could not be, in their order.
    """
    settings = settings or Settings()
    show = progress or (lambda *_: None)
    race = Race([Path(path) for path in paths], settings)
    try:
        loads = dict(race.loads(show))
        bursts = race.rounds(list(loads), show)
    finally:
        race.close()
    files = [
        summarize(race.paths[file], loads[file], times, next(iter(bursts.values())))
        for file, times in bursts.items()
    ]
    document = Document(
        schema_version=SCHEMA_VERSION,
        host=describe_host(PACKAGES),
        int8_dot_product=int8_dot_product(),
        threads=race.threads,
        rounds=settings.rounds,
        seconds=settings.seconds,
        photo=None if settings.photo is None else str(settings.photo),
        reference=files[0]["path"] if files else None,
        files=files,
        failed=[
            Failure(path=str(race.paths[file]), error=race.failures[file].message)
            for file in sorted(race.failures)
        ],
    )
    return document, [race.failures[file] for file in sorted(race.failures)]


def summarize(
    path: StrPath,
    loaded: dict[str, Any],
    bursts: Sequence[Sequence[float]],
    reference: Sequence[Sequence[float]],
) -> File:
    """Puts a file's figures together.

    Args:
        path: of the file.
        loaded: the other figures of `edgekit.bench.worker.load`.
        bursts: milliseconds of each run, by round.
        reference: those of the file that it is compared with, of the same rounds.
    """
    path = Path(path)
    import numpy as np

    p5, median, p95 = np.percentile(np.concatenate(bursts), [5, 50, 95])
    medians = [statistics.median(burst) for burst in bursts]
    others = [statistics.median(burst) for burst in reference]
    ratios = [own / other for own, other in zip(medians, others, strict=True)]
    return File(
        path=str(path),
        runtime=loaded["runtime"],
        scheme=loaded["scheme"],
        size_bytes=loaded["size_bytes"],
        not_a_classifier=loaded["not_a_classifier"],
        memory_bytes=loaded["memory_bytes"],
        load_ms=round(loaded["load_ms"], 4),
        first_ms=round(loaded["first_ms"], 4),
        median_ms=round(float(median), 4),
        p5_ms=round(float(p5), 4),
        p95_ms=round(float(p95), 4),
        n=sum(map(len, bursts)),
        round_medians_ms=[round(value, 4) for value in medians],
        ratio=round(statistics.median(ratios), 4),
        ratio_low=round(min(ratios), 4),
        ratio_high=round(max(ratios), 4),
    )


def classifier_notes(document: Document) -> list[str]:
    """Says which files are no classifiers of photos, and why."""
    return [
        f"{Path(file['path']).name} is no image classifier: {file['not_a_classifier']}"
        for file in document["files"]
        if file["not_a_classifier"]
    ]


def int8_notes(document: Document) -> list[str]:
    """Says why int8 files are slower than float ones in the same runtime, where the CPU is why."""
    if document["int8_dot_product"] is not False:
        return []
    floats: dict[str, float] = {}
    for file in document["files"]:
        if file["scheme"] in FLOAT:
            floats.setdefault(file["runtime"], file["median_ms"])
    return [
        f"{Path(file['path']).name} is slower than float in {file['runtime']} because this CPU has "
        "no int8 dot-product instructions (VNNI or dotprod); measure on the device itself"
        for file in document["files"]
        if file["scheme"].startswith("w8a8")
        and file["median_ms"] > floats.get(file["runtime"], math.inf)
    ]


def turns(files: Sequence[int], number: int) -> list[int]:
    """The order of files in a round: back and forth, so that none is always behind another."""
    return list(files) if number % 2 == 0 else list(reversed(files))


class Race:
    """The files and their processes.

    Attributes:
        paths: of the files; a file's number is its place.
        threads: of each runtime.
        failures: by the file's number; such a file has no more turns.
    """

    def __init__(self, paths: Sequence[StrPath], settings: Settings) -> None:
        self.paths = [Path(path) for path in paths]
        self.failures = dict[int, EdgekitError]()
        self.threads = settings.threads or usable_cores()
        self._settings = settings
        self._children: dict[str, Child] = {}

    def loads(self, show: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
        """Loads each file in a process of its own; yields its number and what that took."""
        for file, path in enumerate(self.paths):
            show("load", file, len(self.paths), path.name)
            loaded = self._ask(file, 0)
            self.close()
            if loaded is not None:
                yield file, loaded

    def rounds(self, files: Sequence[int], show: Progress) -> dict[int, list[list[float]]]:
        """Lets the files take turns; milliseconds of each run, by file and round."""
        times: dict[int, list[list[float]]] = {file: [] for file in files}
        for file in files:
            self._ask(file, 0)
        done, total = 0, self._settings.rounds * len(files)
        for number in range(self._settings.rounds):
            for file in turns(files, number):
                show("measure", done, total, self.paths[file].name)
                done += 1
                if file not in self.failures:
                    time.sleep(PAUSE_S)
                    times[file].append(self._ask(file, self._settings.seconds) or [])
        return {file: bursts for file, bursts in times.items() if file not in self.failures}

    def close(self) -> None:
        """Ends all processes."""
        for one in self._children.values():
            one.close()
        self._children.clear()

    def _ask(self, file: int, seconds: float) -> Any:
        """What the file's runtime answers; None where that failed, and is kept."""
        path, photo = self.paths[file], self._settings.photo
        kind = path.suffix.lower()
        if kind not in self._children:
            self._children[kind] = Child(
                self._settings.timeout_s + self._settings.seconds, self._settings.worker or CHILD
            )
        request = {
            "file": file,
            "path": str(path),
            "threads": self.threads,
            "photo": None if photo is None else str(photo),
            "seconds": seconds,
            "device": self._settings.device,
            "cache": str(self._settings.cache) if self._settings.cache else None,
        }
        try:
            return self._children[kind].ask(request, f"while it {'ran' if seconds else 'loaded'}")
        except EdgekitError as error:
            # A fresh process loads the other files again when their turn comes.
            self.failures[file] = error
            self._children.pop(kind).close()
            return None


class Child:
    """A process that loads and runs files, see `edgekit.bench.worker`.

    Args:
        timeout_s: how long it may give no answer.
        command: that starts it.
    """

    def __init__(self, timeout_s: float, command: Sequence[str]) -> None:
        self._timeout_s = timeout_s
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(  # noqa: S603 - a list, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._answers = child.messages(self._process, timeout_s)

    def ask(self, request: dict[str, Any], phase: str) -> Any:
        """Returns the result of a request.

        Args:
            request: as `edgekit.bench.worker` takes it.
            phase: what it does then, for an error: "while it ran".

        Raises:
            EdgekitError: the process says that it failed, or died, or was stopped as it hung.
        """
        stdin: Any = self._process.stdin
        phase = f"{phase} {request['path']}"
        try:
            with suppress(OSError):  # it died before it read: it has no answer, either
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.flush()
            answer = next(self._answers, None)
        except queue.Empty:
            self.close()
            said = f"the runtime hung {phase} and was stopped after {self._timeout_s:g} s"
            raise EdgekitError(said, hint="give a larger --timeout") from None
        if answer is None:
            child.let_end(self._process)
            child.stop(self._process)
            code = self._process.returncode
            raise child.died(phase, code, child.last_line(self._stderr))
        if "error" in answer:
            error = answer["error"]
            kind = _KINDS.get(error.pop("exit_code"), EdgekitError)
            raise kind(error.pop("message"), **error)
        return answer["result"]

    def close(self) -> None:
        """Ends the process at once."""
        child.stop(self._process)
        with suppress(OSError):  # what it has not read is of no use any more
            if self._process.stdin:
                self._process.stdin.close()
        self._stderr.close()
