"""Measures one .tflite file on this host and on devices: the same photos, the same program.

The host comes first, as a device like the others: its answers are the reference.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from edgekit.data.preprocessing import DEFAULT_TASK, Preprocessing
from edgekit.errors import EdgekitError
from edgekit.report.document import Accuracy, Device, Timing
from edgekit.system.console import Console
from edgekit.system.hashing import hash_file
from edgekit.targets import registry
from edgekit.targets.devices.open import HOST, open_host
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.device import Job, Measured
from edgekit.targets.measure.isolated import Delegate
from edgekit.targets.measure.method import Method
from edgekit.targets.measure.photos import Photos
from edgekit.targets.measure.raw import dequantize
from edgekit.targets.schemes import scheme_of
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task

SCHEMA_VERSION = 1


class Document(TypedDict):
    """Everything that was measured, as it is saved."""

    schema_version: int
    model: str
    sha256: str
    scheme: str
    size_bytes: int
    task: str  # what it is for; empty where its outputs mean something else
    photos: str  # where they are from
    n: int
    note: str | None  # why there is no accuracy, or how the labels differ from the output
    devices: list[Device]


def measure(
    job: Job, photos: Photos, urls: Sequence[str], method: Method, console: Console
) -> tuple[Document, list[EdgekitError]]:
    """Measures a file on the host, and then on all devices at once.

    Args:
        job: what to measure.
        photos: those of the job.
        urls: of the devices.
        method: measures it on one device.
        console: where each device has its own bar.

    Returns:
        What was measured, and what went wrong.
    """
    on_host = registry.compiled_for(job.model) is None
    places = list(dict.fromkeys([*([HOST] if on_host else []), *urls]))
    problems: list[EdgekitError] = []
    reference: Measured | None = None
    devices = []
    if on_host:
        host_job = replace(job, delegates=_of_host(job.delegates))
        found, error = _one(
            1, len(places), HOST, host_job, measuring.measure, console, threading.Event()
        )
        problems += error
        reference = found
        devices.append(_device(HOST, found, error, job, photos, found))
        places.remove(HOST)
    for url, (found, error) in zip(
        places, _all(places, len(devices), job, method, console), strict=True
    ):
        problems += error
        devices.append(_device(url, found, error, job, photos, reference))
    for text in _shared(devices):
        console.note(text)
    return _document(job, photos, devices), problems


def _shared(devices: Sequence[Device]) -> Iterator[str]:
    """Yields which of the devices are one machine: rows of it differ by chance alone."""
    urls: dict[str, list[str]] = defaultdict(list)
    for device in devices:
        if boot := device["facts"].get("boot"):
            urls[boot].append(device["device"])
    for same in urls.values():
        if len(same) > 1:
            yield f"one machine, measured one after the other: {', '.join(same)}"


def _of_host(delegates: tuple[Delegate, ...]) -> tuple[Delegate, ...]:
    """Those that any host has."""
    return tuple(d for d in delegates if d.name in ("none", "xnnpack")) or (Delegate(),)


def _all(
    urls: Sequence[str], before: int, job: Job, method: Method, console: Console
) -> list[tuple[Measured | None, list[EdgekitError]]]:
    """Measures on several devices at once; an interrupt stops them all."""
    stop, total = threading.Event(), before + len(urls)
    if len(urls) == 1:
        return [_one(total, total, urls[0], job, method, console, stop)]
    with ThreadPoolExecutor(max(len(urls), 1)) as pool:
        waiting = [
            pool.submit(_one, before + k, total, url, job, method, console, stop)
            for k, url in enumerate(urls, 1)
        ]
        try:
            return [one.result() for one in waiting]
        except KeyboardInterrupt:
            stop.set()
            raise


def _one(
    index: int,
    total: int,
    url: str,
    job: Job,
    method: Method,
    console: Console,
    stop: threading.Event,
) -> tuple[Measured | None, list[EdgekitError]]:
    with console.stage(index, total, url, beside=True) as stage:

        def progress(task: str, done: int, of: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            console.progress(task, done, of, stage=stage)

        try:
            with open_host(url) as host:
                found = method(host, job, progress)
        except EdgekitError as error:
            stage.detail = "failed"
            return None, [error]
        stage.detail = found.how
        return found, found.problems


def _device(
    url: str,
    found: Measured | None,
    errors: Sequence[EdgekitError],
    job: Job,
    photos: Photos,
    reference: Measured | None,
) -> Device:
    words = "; ".join(error.message for error in errors) or None
    if found is None:
        return Device(device=url, how="", facts={}, timings=[], accuracy=[], error=words)
    return Device(
        device=url,
        how=found.how,
        facts=found.facts.to_dict(),
        timings=[
            Timing(
                delegate=step.delegate.name,
                threads=step.threads,
                **{name: figures[name] for name in Timing.__annotations__ if name in figures},  # type: ignore[typeddict-item]
            )
            for step, figures in found.latency.items()
        ],
        accuracy=[
            compare(
                delegate,
                outputs,
                photos.truth,
                _host_s(reference, delegate),
                task=photos.task,
                in_reals=partial(dequantize, job.model),
                preprocessing=photos.preprocessing,
            )
            for delegate, outputs in found.outputs.items()
        ],
        error=words,
    )


def _host_s(reference: Measured | None, delegate: str) -> npt.NDArray[Any] | None:
    """The host's outputs with the same delegate, or with the only one that it has."""
    if reference is None or not reference.outputs:
        return None
    same: npt.NDArray[Any] | None = reference.outputs.get(delegate)
    return next(iter(reference.outputs.values())) if same is None else same


def compare(
    delegate: str,
    outputs: npt.NDArray[Any],
    truth: npt.NDArray[Any] | None,
    reference: npt.NDArray[Any] | None,
    *,
    task: str = DEFAULT_TASK,
    in_reals: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = lambda raw: raw,
    preprocessing: Preprocessing | None = None,
) -> Accuracy:
    """Compares a device's raw outputs with the labels and with the host's outputs.

    Args:
        delegate: that ran there.
        outputs: [n, classes], maps [n, height, width, classes] or [n, height, width], or of
            several outputs [n, rows, columns].
        truth: labels of the task.
        reference: the host's outputs.
        task: what they are for; empty where nothing is known: then outputs alone are compared.
        in_reals: what raw outputs stand for.
        preprocessing: of the photos, for a task that needs it.
    """
    of = find_task(task or DEFAULT_TASK)

    def keep(raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return of.keep(in_reals(raw), preprocessing)

    agreement = differing = largest = None
    if reference is not None:
        apart = np.abs(outputs.astype(np.float64) - reference.astype(np.float64))
        apart = apart.reshape(len(outputs), -1)
        agreement = _agreement(of, keep, outputs, reference) if task else None
        differing = int((~(apart <= 0)).any(axis=1).sum())
        largest = None if np.isnan(apart).any() else float(apart.max())
    score = None if truth is None else of.metric_of(keep(outputs), truth)
    found = {
        "delegate": delegate,
        "n": len(outputs),
        of.metric.key: score,
        "agreement": agreement,
        "differing": differing,
        "largest_difference": largest,
    }
    return cast(Accuracy, found)


def _agreement(
    of: Task,
    keep: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    outputs: npt.NDArray[Any],
    reference: npt.NDArray[Any],
) -> float:
    """The share of equal answers, as the task counts them; what is no number is none."""
    known = ~np.isnan(outputs).reshape(len(outputs), -1).any(axis=1)
    if not known.any():
        return 0.0
    same = of.compare(keep(reference[known]), keep(outputs[known])).agreement
    return float(same * known.mean())


def _document(job: Job, photos: Photos, devices: list[Device]) -> Document:
    return Document(
        schema_version=SCHEMA_VERSION,
        model=str(job.path),
        sha256=hash_file(job.path),
        scheme=scheme_of(job.model),
        size_bytes=job.path.stat().st_size,
        task=photos.task,
        photos=photos.source,
        n=len(photos.pixels),
        note=photos.note,
        devices=devices,
    )
