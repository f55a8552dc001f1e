"""``edgekit bench MODEL --device URL``: a file on the host and on devices, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.system.console import Console

if TYPE_CHECKING:
    from edgekit.bench.devices import Document
    from edgekit.report.document import Accuracy, Device, Timing
    from edgekit.tasks.task import Metric

TITLES = (
    "device",
    "runtime",
    "delegate",
    "threads",
    "{} %",  # of the metric
    "agrees %",
    "differ",
    "LSB",
    "load ms",
    "first ms",
    "median ms",
    "p5 to p95",
    "runs",
    "memory",
    "°C",
)
WORDS = 3  # so many columns are words, the others figures


def show(document: Document, console: Console, *, as_json: bool, out: Path | None) -> None:
    """Prints what was measured, and saves it."""
    import sys
    from json import dumps

    from edgekit.data.preprocessing import DEFAULT_TASK
    from edgekit.report.document import write_text
    from edgekit.system.console import safe
    from edgekit.tasks.registry import find_task

    text = dumps(document, indent=2, ensure_ascii=False)
    if out:
        write_text(out, text + "\n")
    if as_json:
        print(text)
        return
    for device in document["devices"]:
        for line in marks(device):
            console.warn(line)
    metric = find_task(document["task"] or DEFAULT_TASK).metric
    lines = [*table(document["devices"], metric), how(document)]
    if document["note"]:
        lines.append(document["note"])
    print(safe("\n".join(lines), sys.stdout))


def how(document: Document) -> str:
    """What the columns are of."""
    n = document["n"]
    return (
        f"{document['photos']}: {n} photo{'s' * (n != 1)}; agrees, differ, LSB: answers, outputs "
        "and the largest difference to the host's; memory: the most, runtime included; "
        "°C: before to the most"
    )


def marks(device: Device) -> Iterator[str]:
    """What the reader of the figures has to know of a device."""
    for timing in device["timings"]:
        if timing["throttled"]:
            yield (
                f"{device['device']} slowed down with {timing['threads']} threads: "
                f"{', '.join(timing['throttled'])}; repeat with `edgekit bench --cool-down SECONDS`"
            )
    governors = {timing["sensors"]["before"].get("governor") for timing in device["timings"]}
    for governor in sorted(governors - {None, "performance"}):
        yield f"{device['device']} runs with the governor {governor}: its clock may lag behind"


def table(devices: Sequence[Device], metric: Metric) -> list[str]:
    """The figures in columns, a row for each device, delegate and number of threads."""
    rows = [row for device in devices for row in _rows(device, metric)]
    titles = tuple(title.format(metric.name) for title in TITLES)
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < WORDS else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (titles, *rows)
    ]


def _rows(device: Device, metric: Metric) -> Iterator[tuple[str, ...]]:
    answers = {accuracy["delegate"]: accuracy for accuracy in device["accuracy"]}
    for timing in device["timings"]:
        # The answers stand once, with the first number of threads.
        yield (
            device["device"],
            device["how"],
            timing["delegate"],
            str(timing["threads"]),
            *_answers(answers.pop(timing["delegate"], None), metric),
            *_figures(timing),
        )
    for delegate, accuracy in answers.items():
        rest = ("",) * (len(TITLES) - 8)
        yield (device["device"], device["how"], delegate, "", *_answers(accuracy, metric), *rest)
    if not device["timings"] and not device["accuracy"]:
        yield (device["device"], "failed", *("",) * (len(TITLES) - 2))


def _answers(accuracy: Accuracy | None, metric: Metric) -> tuple[str, ...]:
    from edgekit.system.text import NOTHING, percent

    if accuracy is None:
        return ("",) * 4
    differing, largest = accuracy["differing"], accuracy["largest_difference"]
    return (
        percent(metric.value(accuracy)),
        percent(accuracy["agreement"]),
        NOTHING if differing is None else str(differing),
        NOTHING if largest is None else f"{largest:g}",
    )


def _figures(timing: Timing) -> tuple[str, ...]:
    from edgekit.system.text import milliseconds as ms
    from edgekit.system.text import size, temperature

    return (
        ms(timing["load"]),
        ms(timing["first"]),
        ms(timing["median"]),
        f"{ms(timing['p5'])} to {ms(timing['p95'])}",
        str(timing["n"]),
        size(timing["memory_bytes"]),
        temperature(timing),
    )
