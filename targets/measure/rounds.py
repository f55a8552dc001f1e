"""Times many small .tflite files on a device, in rounds that run each of them once.

The CPU time of the thread that runs is what other programs disturb the least; it is what passes
where there is one thread and the device is idle.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import DeviceError, EdgekitError, UsageError
from edgekit.targets.devices.hosts import Host
from edgekit.targets.devices.send import send
from edgekit.targets.doctor.examine import Python
from edgekit.targets.measure.isolated import CHILD

PROGRAM = Path(__file__).with_name("rounds_agent.py")
#: Seconds without a word after which the device is taken to be stuck.
SILENCE_S = 120.0
CPU, WALL = "cpu", "wall"
#: What is kept loaded on the device at once: as many files, and bytes of them.
MOST_FILES, MOST_BYTES = 48, 12 << 20

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rounds:
    """How files are timed.

    Attributes:
        threads: of the kernels.
        count: of rounds.
        passes: how often all files are gone through, so many rounds each time: a minute in which a
            device is busy or hot is then in a part of each file's rounds, not in all of one's.

    Raises:
        UsageError: a number is below 1.
    """

    threads: int = 1
    count: int = 8
    passes: int = 3

    def __post_init__(self) -> None:
        for name, value in (("threads", self.threads), ("rounds", self.count)):
            if value < 1:
                raise UsageError(f"--{name} must be at least 1, not {value}")

    @property
    def clock(self) -> str:
        """``cpu`` for one thread, ``wall`` for several, whose CPU times would add up."""
        return CPU if self.threads == 1 else WALL


@dataclass
class _Heard:
    """What the program on the device said."""

    seconds: list[list[float]] = field(default_factory=list)
    file: int = -1
    last: dict[str, Any] = field(default_factory=dict)

    def take(self, text: str) -> None:
        try:
            message = json.loads(text)
            if "seconds" in message:
                self.seconds.append([float(one) for one in message["seconds"]])
            elif "file" in message:
                self.file = int(message["file"])
            elif "done" in message or "error" in message:
                self.last = message
        except (ValueError, TypeError):
            return  # what a shell may say on login


def time_files(
    host: Host, python: Python, files: Sequence[bytes], rounds: Rounds, progress: Progress
) -> list[list[float]]:
    """Times files that are loaded at once, `MOST_FILES` of them at the most.

    Args:
        host: the device.
        python: of the device, with a TFLite runtime.
        files: contents of .tflite files.
        rounds: how.
        progress: is called with a task, how much of it is done, and of how much.

    Returns:
        Seconds of each file in each round.

    Raises:
        DeviceError: the device went away.
        EdgekitError: the runtime there fails on a file, or ends.
    """
    heard = _Heard()
    with host.folder() as folder, tempfile.TemporaryDirectory(prefix="edgekit-") as here:
        pack, request = Path(here) / "pack", Path(here) / "request"
        pack.write_bytes(b"".join(files))
        record = {
            "pack": "files.bin",
            "sizes": [len(contents) for contents in files],
            "threads": rounds.threads,
            "rounds": rounds.count,
            "clock": rounds.clock,
        }
        request.write_text(json.dumps(record), encoding="utf-8")
        for source, name in (
            (CHILD, CHILD.name),
            (PROGRAM, PROGRAM.name),
            (request, "request.json"),
            (pack, "files.bin"),
        ):
            send(host, source, folder, name, lambda *n: progress("send", *n))
        ran = host.follow(
            [python.path, f"{folder}/{PROGRAM.name}", f"{folder}/request.json"],
            folder,
            SILENCE_S,
            heard.take,
            lambda: progress("time", len(heard.seconds), rounds.count),
        )
    if ran.code != 0 or "done" not in heard.last:
        raise _failure(host, heard, ran.code, ran.text)
    if any(len(row) != len(files) for row in heard.seconds):
        raise DeviceError(f"{host.name} timed other files than were sent")
    return [list(column) for column in zip(*heard.seconds, strict=True)]


def _failure(host: Host, heard: _Heard, code: int | None, text: str) -> EdgekitError:
    words = text.strip().split("\n")[-1] or None
    if "error" in heard.last:
        return EdgekitError(
            f"the runtime on {host.name} fails on a block",
            cause=str(heard.last.get("cause") or words),
            hint="`edgekit doctor` says what runs there",
        )
    how = "was silent and was stopped" if code is None else f"ended with {code}"
    return EdgekitError(
        f"timing on {host.name} {how}",
        cause=words or (f"at file {heard.file + 1}" if not heard.seconds else None),
        hint="the same command again goes on from there",
    )


def in_groups(sizes: Sequence[int]) -> list[list[int]]:
    """Places of files that fit a device together, every file in one group.

    Args:
        sizes: bytes of the files.
    """
    groups: list[list[int]] = []
    room = 0
    for place, size in enumerate(sizes):
        if not groups or len(groups[-1]) == MOST_FILES or room < size:
            groups.append([])
            room = MOST_BYTES
        groups[-1].append(place)
        room -= size
    return groups
