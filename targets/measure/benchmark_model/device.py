"""Measures a classifier with TensorFlow Lite's `benchmark_model`: for devices without Python."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.errors import DeviceError, EdgekitError
from edgekit.system.hashing import hash_file
from edgekit.system.paths import StrPath
from edgekit.targets.devices.hosts import Host, LocalHost
from edgekit.targets.devices.open import open_host
from edgekit.targets.devices.send import SHORT_S, send
from edgekit.targets.doctor import examine as doctor
from edgekit.targets.measure.benchmark_model.run import Benchmark, check_binary
from edgekit.targets.measure.benchmark_model.sensors import Sensors
from edgekit.targets.measure.device import (
    LATENCY,
    WAITING,
    Job,
    Measured,
    Progress,
    Step,
    journal_path,
    plan,
)
from edgekit.targets.measure.journal import Journal
from edgekit.targets.measure.raw import raw_outputs
from edgekit.targets.measure.throttling import find_throttling
from edgekit.targets.measure.turns import turn_of

SENSE_S = 2.0  # between two looks at the sensors, each a program that is started there


def measure(host: Host, job: Job, progress: Progress, binary: StrPath) -> Measured:
    """Measures a model with the user's binary; what an interrupted run has measured is kept.

    Args:
        host: the device.
        job: what to measure.
        progress: is called with a task, how much of it is done, and of how much.
        binary: `benchmark_model`, built for the device.

    Raises:
        UsageError: the binary is for another processor.
        MissingToolError: the binary does not start there.
        DeviceError: the device went away, or has no room.
    """
    binary = Path(binary)
    progress("examine", 0, 0)
    facts = doctor.look(host)
    check_binary(binary, facts.machine or "")
    steps = plan(job, facts)
    digest = hash_file(binary)
    key = job.key(host.name, str(facts.machine), digest)
    measured = Measured(facts, f"benchmark_model {digest[:8]}")
    with (
        turn_of(facts.boot, lambda: progress(WAITING, 0, 0)),
        Journal(journal_path(key)) as journal,
    ):
        with host.folder(f"bench-{key[:12]}") as folder:
            tool = _send(host, job, folder, binary, progress)
            for step in steps:
                try:
                    _do(step, job, tool, journal, progress)
                except DeviceError:
                    raise
                except EdgekitError as error:
                    measured.problems.append(error)
        _collect(measured, steps, job, journal)
        journal.forget()
    return measured


def _send(host: Host, job: Job, folder: str, binary: Path, progress: Progress) -> Benchmark:
    def tell(done: int, total: int) -> None:
        progress("send", done, total)

    there = send(host, binary, folder, "benchmark_model", tell)
    model = send(host, job.path, folder, "model.tflite", tell)
    host.run(["chmod", "755", there], folder, SHORT_S)
    return Benchmark(host, there, model, folder, job.model)


def _do(step: Step, job: Job, tool: Benchmark, journal: Journal, progress: Progress) -> None:
    """Does a step, or the part of it that is missing."""
    if step.name in journal.results:
        return
    if step.kind == LATENCY:
        progress(step.name, 0, 0)
        with _watched(tool) as sensors:
            figures = tool.latency(
                step.threads, step.delegate.name, job.runs, job.seconds, job.timeout_s
            )
        journal.result(step.name, {"result": figures, "sensors": sensors})
        return
    kept = journal.outputs.get(step.name, {})
    already = next((k for k in range(len(job.pixels)) if k not in kept), len(job.pixels))
    outputs = tool.scores(
        job.pixels,
        job.table,
        lambda done, total: progress(step.name, done, total),
        already,
        threads=step.threads,
        delegate=step.delegate.name,
        timeout_s=job.timeout_s,
    )
    for photo, output in outputs:
        journal.output(step.name, photo, output.tobytes())
    journal.result(step.name, {"result": {}})


@contextmanager
def _watched(tool: Benchmark) -> Iterator[dict[str, Any]]:
    """Looks at the sensors before, while and after the body runs, over a connection of its own."""
    seen: dict[str, Any] = {"during": []}
    over = threading.Event()
    url = None if isinstance(tool.host, LocalHost) else tool.host.name

    def look() -> None:
        with contextlib.suppress(EdgekitError), open_host(url) as other:
            sensors = Sensors(other, tool.folder)
            while not over.wait(SENSE_S):
                seen["during"].append(sensors.sample())

    own = Sensors(tool.host, tool.folder)
    seen["before"] = own.sample()
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
    seen["after"] = own.sample()


def _collect(measured: Measured, steps: Sequence[Step], job: Job, journal: Journal) -> None:
    """Puts together what the journal holds."""
    for step in steps:
        message = journal.results.get(step.name)
        if message is None:
            continue
        if step.kind == LATENCY:
            sensors = message["sensors"]
            measured.latency[step] = message["result"] | {
                "runtime_memory_bytes": None,
                "sensors": sensors,
                "throttled": find_throttling(sensors, ()),
            }
        else:
            found = journal.outputs[step.name]
            raw = raw_outputs(job.model, [found[k] for k in range(len(job.pixels))])
            measured.outputs[step.delegate.name] = raw
