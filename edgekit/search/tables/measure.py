"""Fills a table on a device: every file in rounds, and the rounds spread over the whole time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekit.search.tables.cut import Files
from edgekit.search.tables.table import Entry, Identity, LatencyTable, load_table
from edgekit.system.console import Progress
from edgekit.system.paths import StrPath
from edgekit.targets.devices.hosts import Host
from edgekit.targets.devices.open import open_host
from edgekit.targets.doctor import examine as doctor
from edgekit.targets.doctor.examine import Python
from edgekit.targets.measure.rounds import Rounds, in_groups, time_files


@dataclass(frozen=True)
class Device:
    """A device that is measured on.

    Attributes:
        host: an open one.
        python: what runs there.
        identity: what its tables are of.
        rounds: of one pass.
    """

    host: Host
    python: Python
    identity: Identity
    rounds: Rounds


@contextmanager
def open_device(url: str | None, rounds: Rounds, python: str | None = None) -> Iterator[Device]:
    """Gives a device while the body runs.

    Args:
        url: as of `open_host`; None for this machine.
        rounds: how files are timed there.
        python: the Python to use there; by default the first with a TFLite runtime.

    Raises:
        DeviceError: it cannot be used.
        MissingToolError: no Python there has a runtime.
    """
    with open_host(url) as host:
        facts = doctor.examine(host, python)
        chosen = doctor.choose_python(facts)
        if chosen is None:
            raise doctor.runtime_missing(host.name, facts)
        yield Device(host, chosen, Identity.of(facts, chosen, rounds), rounds)


def table_for(device: Device, path: StrPath) -> LatencyTable:
    """The table in a file, or an empty one of a device.

    Raises:
        UsageError: the file's is of another device.
    """
    if not Path(path).exists():
        return LatencyTable(device.identity)
    found = load_table(path)
    device.identity.refuse_others(found.identity, path)
    return found


def measure_files(
    device: Device, files: Files, table: LatencyTable, path: StrPath, progress: Progress
) -> LatencyTable:
    """Times files until each has the rounds of all passes; what is measured is kept at once.

    Args:
        device: where.
        files: of blocks and networks.
        table: what is known of them already.
        path: of the table's file.
        progress: of the files that have their rounds.

    Returns:
        The table with them.

    Raises:
        DeviceError: the device went away; the same again goes on.
    """
    passes = device.rounds.passes
    every = len(files.words) * passes
    for turn in range(1, passes + 1):
        short = [key for key in files.words if _rounds(table, key) < turn * device.rounds.count]
        done = every * (turn - 1) // passes + len(files.words) - len(short)
        for places in in_groups([files.path(key).stat().st_size for key in short]):
            keys = [short[place] for place in places]
            progress(f"pass {turn} of {passes}", done, every)
            contents = [files.path(key).read_bytes() for key in keys]
            times = time_files(device.host, device.python, contents, device.rounds, silent)
            found = {
                key: Entry(files.words[key], tuple(round(1e6 * one, 1) for one in seconds))
                for key, seconds in zip(keys, times, strict=True)
            }
            table = table.with_rounds(found).save(path)
            done += len(keys)
        progress(f"pass {turn} of {passes}", done, every)
    return table


def _rounds(table: LatencyTable, key: str) -> int:
    return len(table.entries[key].microseconds) if key in table.entries else 0


def silent(task: str, done: int, total: int, note: str = "") -> None:
    """Says nothing of what takes a second or two."""
