"""Measures a .tflite classifier on a device: latency, memory, sensors, and its answers."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct, convert
from platformdirs import user_cache_path

from edgekit.converters.tflite.file import TFLiteModel
from edgekit.data.images import Pixels
from edgekit.errors import DeviceError, EdgekitError
from edgekit.system import processes as child
from edgekit.system.hashing import file_hash
from edgekit.system.paths import StrPath
from edgekit.system.records import decode_record
from edgekit.targets.devices.hosts import Host
from edgekit.targets.devices.send import send
from edgekit.targets.doctor import examine as doctor
from edgekit.targets.doctor.examine import Facts, Python
from edgekit.targets.measure.isolated import CHILD, Delegate, check_python_has, failure
from edgekit.targets.measure.journal import Journal
from edgekit.targets.measure.raw import answer_outputs, raw_outputs
from edgekit.targets.measure.throttling import find_throttling
from edgekit.targets.measure.turns import turn_of

Progress = Callable[[str, int, int], None]
LATENCY, PHOTOS = "latency", "photos"
#: What is shown of a device while another URL of the same machine is measured.
WAITING = "wait for its machine"


@dataclass(frozen=True)
class Step:
    """One thing that is measured on a device.

    Attributes:
        kind: "latency", or "photos" for the answers to all photos.
    """

    kind: str
    delegate: Delegate
    threads: int

    @property
    def name(self) -> str:
        """What the journal calls it."""
        return f"{self.kind} {self.delegate.name} {self.threads}"


@dataclass(frozen=True)
class Job:
    """What is measured, the same on every device.

    Attributes:
        path: the model.
        model: the same, read.
        pixels: uint8 [n, height, width, 3], RGB; the first is what is timed.
        table: [256, 3], what the input is fed for a byte in a channel; None for the byte.
        delegates: what each step is repeated with.
        threads: how many threads each step is repeated with; None for 1 to the device's cores.
        runs: warm runs at most.
        seconds: for them together, at most.
        cool_down: seconds that the device may take to cool before each latency, and before one
            that it throttled in is measured again; 0 for neither.
        timeout_s: how long a step may be silent.
    """

    path: Path
    model: TFLiteModel
    pixels: Pixels
    table: npt.NDArray[Any] | None
    delegates: tuple[Delegate, ...] = (Delegate(),)
    threads: tuple[int, ...] | None = None
    runs: int = 200
    seconds: float = 5.0
    cool_down: float = 0.0
    timeout_s: float = 60.0

    def key(self, *more: str) -> str:
        """A hash of all that decides what is measured."""
        record = asdict(self) | {"path": file_hash(self.path), "model": "", "pixels": ""}
        record["table"] = None if self.table is None else self.table.tolist()
        digest = hashlib.sha256(self.pixels.tobytes())
        digest.update(json.dumps([record, *more], sort_keys=True, default=str).encode())
        return digest.hexdigest()


@dataclass
class Measured:
    """What a device gave.

    Attributes:
        facts: what it is.
        how: what ran the model there, in words.
        latency: by step, the figures in milliseconds and bytes, see `figures`.
        outputs: by delegate, the raw outputs [n, classes], or as `raw_outputs` has them.
        problems: what went wrong in a step; the others are there.
    """

    facts: Facts
    how: str
    latency: dict[Step, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    problems: list[EdgekitError] = field(default_factory=list)


def measure(host: Host, job: Job, progress: Progress, python: str | None = None) -> Measured:
    """Measures a model with the agent; what an interrupted run has measured is kept and taken up.

    Args:
        host: the device.
        job: what to measure.
        progress: is called with a task, how much of it is done, and of how much.
        python: the Python to use there; by default the first that has a TFLite runtime.

    Raises:
        MissingToolError: there is no such Python there.
        DeviceError: the device went away, or has no room.
        EdgekitError: the agent failed as a whole.
    """
    for delegate in job.delegates:
        check_python_has(delegate)
    progress("examine", 0, 0)
    facts = doctor.examine(host, python)
    chosen = doctor.choose_python(facts)
    if chosen is None:
        raise doctor.runtime_missing(host.name, facts)
    steps = plan(job, facts)
    key = job.key(host.name, str(facts.machine), chosen.path, file_hash(CHILD))
    with (
        turn_of(facts.boot, lambda: progress(WAITING, 0, 0)),
        Journal(journal_path(key)) as journal,
    ):
        _Run(host, job, facts, chosen, steps, journal, progress).go(f"bench-{key[:12]}")
        measured = collect(job, facts, describe(chosen), steps, journal)
        journal.forget()
        return measured


def journal_path(key: str) -> Path:
    """Where the journal of a measurement lies."""
    return user_cache_path("edgekit") / "devices" / f"{key[:32]}.jsonl"


def describe(python: Python) -> str:
    """What runs the model, such as "tflite_runtime 2.14.0, Python 3.11.2"."""
    name, version = next(iter(python.runtimes.items()))
    return f"{name} {version}, Python {python.version}"


def plan(job: Job, facts: Facts) -> list[Step]:
    """The steps for a device: latency for each number of threads, and then its answers."""
    cores = facts.cores or 1
    counts = job.threads or thread_counts(cores)
    steps = [Step(LATENCY, delegate, n) for delegate in job.delegates for n in counts]
    return [*steps, *(Step(PHOTOS, delegate, max(counts)) for delegate in job.delegates)]


def thread_counts(cores: int) -> tuple[int, ...]:
    """1 to 4 threads, and then 8, 16, … up to the number of cores, which is always one of them."""
    powers = [4 << k for k in range(1, 10)]
    counts = {n for n in (1, 2, 3, 4, *powers) if n <= cores}
    return tuple(sorted(counts | {cores}))


def collect(job: Job, facts: Facts, how: str, steps: Sequence[Step], journal: Journal) -> Measured:
    """Puts together what the journal holds."""
    measured = Measured(facts, how)
    for step in steps:
        message = journal.results.get(step.name, {"error": "run", "cause": "it was not measured"})
        if "error" in message:
            measured.problems.append(problem(job.path, step, message))
        elif step.kind == LATENCY:
            measured.latency[step] = figures(message)
        else:
            found = journal.outputs[step.name]
            raw = raw_outputs(job.model, [found[k] for k in range(len(job.pixels))])
            measured.outputs[step.delegate.name] = raw
    return measured


def figures(message: dict[str, Any]) -> dict[str, Any]:
    """What a latency step gave: milliseconds, bytes, and what the sensors said."""
    result, sensors = message["result"], message["sensors"]
    first, *warm = result["runs"]
    p5, median, p95 = np.percentile(warm or [first], [5, 50, 95])
    seconds = {"load": result["load"], "first": first, "median": median, "p5": p5, "p95": p95}
    return {
        **{name: round(float(value) * 1e3, 4) for name, value in seconds.items()},
        "n": len(warm),
        "runtime": result["runtime"],
        "memory_bytes": result["memory"],
        "runtime_memory_bytes": result["base_memory"],
        "sensors": sensors,
        "throttled": find_throttling(sensors, warm),
    }


def problem(path: StrPath, step: Step, message: dict[str, Any]) -> EdgekitError:
    """The error for a step that failed."""
    path = Path(path)
    kind, cause = message["error"], str(message.get("cause") or "").strip()
    if kind == "died":
        return child.died(message["phase"], message["code"], cause or None)
    if kind == "hung":
        return EdgekitError(
            f"the runtime hung {message['phase']} and was stopped",
            cause=cause or None,
            hint="`edgekit bench --timeout` gives it more seconds",
        )
    return failure(path, step.delegate, kind, cause)


class _Message(Struct, frozen=True):
    """What the agent says of a step: that it goes on, the output of a photo, or how it ended."""

    step: Annotated[int, Meta(ge=0)]
    done: int = 0
    photo: int = 0
    output: bytes | None = None
    result: dict[str, Any] | None = None
    error: str | None = None


class _Run:
    """One conversation with the agent."""

    def __init__(
        self,
        host: Host,
        job: Job,
        facts: Facts,
        python: Python,
        steps: Sequence[Step],
        journal: Journal,
        progress: Progress,
    ) -> None:
        self.host, self.job, self.facts, self.python = host, job, facts, python
        self.steps, self.journal, self.progress = steps, journal, progress
        self.task, self._done = "start", (0, 0)
        self.first: dict[Step, int] = {}  # the photo that a step goes on with

    def go(self, name: str) -> None:
        """Measures what is missing; a latency that was throttled is measured once more."""
        missing = [step for step in self.steps if not self._is_done(step)]
        if not missing:
            return
        self._check_room()
        with self.host.folder(name) as folder:
            self._send(folder)
            self._converse(folder, missing, cool=self.job.cool_down > 0)
            if self.job.cool_down:
                again = [step for step in self.steps if self._was_throttled(step)]
                if again:
                    self._converse(folder, again, cool=True)

    def _is_done(self, step: Step) -> bool:
        return "result" in self.journal.results.get(step.name, {})

    def _was_throttled(self, step: Step) -> bool:
        if step.kind != LATENCY or not self._is_done(step):
            return False
        return bool(figures(self.journal.results[step.name])["throttled"])

    def _check_room(self) -> None:
        needed = self.job.pixels.nbytes + self.job.path.stat().st_size + (8 << 20)
        free = self.facts.disk_free_bytes
        if free is not None and free < needed:
            raise DeviceError(
                f"{self.host.name} has not enough room for the model and the photos",
                cause=f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free",
                hint="free some space there, or take fewer photos",
            )

    def _send(self, folder: str) -> None:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as here:
            pack = Path(here) / "photos"
            pack.write_bytes(self.job.pixels.tobytes())
            for source, name in (
                (CHILD, "agent.py"),
                (self.job.path, "model.tflite"),
                (pack, "photos.bin"),
            ):
                send(self.host, source, folder, name, lambda *n: self.progress("send", *n))

    def _converse(self, folder: str, steps: Sequence[Step], *, cool: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as here:
            request = Path(here) / "request.json"
            request.write_text(json.dumps(self._request(steps, cool)), encoding="utf-8")
            self.host.put(request, f"{folder}/request.json")
        arguments = [self.python.path, f"{folder}/agent.py", f"{folder}/request.json"]
        # The agent itself speaks of a step that is silent for too long.
        silence_s = self.job.timeout_s + max(30.0, self.job.cool_down)
        ran = self.host.follow(
            arguments,
            folder,
            silence_s,
            lambda text: self._hear(steps, text),
            lambda: self.progress(self.task, *self._done),
        )
        answered = all(step.name in self.journal.results for step in steps)
        if ran.code != 0 or not answered:
            how = "was silent and was stopped" if ran.code is None else f"ended with {ran.code}"
            raise EdgekitError(
                f"the agent on {self.host.name} {how}",
                cause=ran.text.strip().split("\n")[-1] or None,
                hint="the same command again goes on from there",
            )

    def _request(self, steps: Sequence[Step], cool: bool) -> dict[str, Any]:
        entries = [self._entry(step) | self._cooling(cool) for step in steps]
        return {"steps": entries, "timeout_s": self.job.timeout_s}

    def _cooling(self, cool: bool) -> dict[str, Any]:
        start = self.facts.temperature_c
        if not cool or start is None:
            return {}
        return {"cool": {"below_c": start + 3, "seconds": self.job.cool_down}}

    def _entry(self, step: Step) -> dict[str, Any]:
        """A step as the agent takes it; it runs in the folder that the files are in."""
        job, (count, *shape) = self.job, self.job.pixels.shape
        first = 0
        if step.kind == PHOTOS:
            kept = self.journal.outputs.get(step.name, {})
            first = next((k for k in range(count) if k not in kept), count - 1)
        self.first[step] = first
        return {
            "model": "model.tflite",
            "shape": [1 if step.kind == LATENCY else count - first, *shape],
            "outputs": len(answer_outputs(job.model)),
            "pixels": "photos.bin",
            "first": first,
            "table": None if job.table is None else job.table.tolist(),
            "library": step.delegate.path_there,
            "options": step.delegate.options,
            "plain": step.delegate.name == "none",
            "threads": step.threads,
            "repeat": job.runs if step.kind == LATENCY else 0,
            "seconds": job.seconds,
        }

    def _hear(self, steps: Sequence[Step], text: str) -> None:
        try:
            raw = decode_record(text, dict[str, Any])
            message = convert(raw, _Message)
            step = steps[message.step]
        except (ValueError, IndexError):
            return  # what a shell may say on login
        if message.result is not None or message.error is not None:
            self.journal.result(step.name, raw)
        elif step.kind == LATENCY:
            self._done = (message.done, self.job.runs + 1)
        elif message.output is not None:
            photo = self.first[step] + message.photo
            self.journal.output(step.name, photo, message.output)
            self._done = (photo + 1, len(self.job.pixels))
        else:
            self._done = (self.first[step] + message.done, len(self.job.pixels))
        self.task = step.name
        self.progress(self.task, *self._done)
