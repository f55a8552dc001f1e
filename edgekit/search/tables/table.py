"""A table of how long blocks take on a device, kept as one file with what the device is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from msgspec import Struct

from edgekit.errors import UsageError
from edgekit.search.tables.line import PLAIN, Check, Line
from edgekit.system.files import write_json
from edgekit.system.paths import StrPath
from edgekit.system.records import load_record
from edgekit.targets.doctor.facts import Facts, Python
from edgekit.targets.measure.device import describe
from edgekit.targets.measure.rounds import Rounds

SCHEMA_VERSION = 1
#: Of the times of a block's rounds: what else runs on a device only ever adds to them.
PERCENTILE = 20


@dataclass(frozen=True)
class Identity:
    """What a table is of: another device, runtime or number of threads has other latencies.

    Attributes:
        machine: as in ``uname -m``.
        board: what the device calls itself; None where it does not.
        cpu: likewise.
        cores: how many.
        runtime: name and version, of Python as well.
        threads: of the kernels.
        clock: one of the clocks of `edgekit.targets.measure.rounds`.
    """

    machine: str | None
    board: str | None
    cpu: str | None
    cores: int | None
    runtime: str
    threads: int
    clock: str

    @classmethod
    def of(cls, facts: Facts, python: Python, rounds: Rounds) -> Identity:
        """That of a device, of what runs there and of how it is timed."""
        said = (facts.machine, facts.board, facts.cpu, facts.cores)
        return cls(*said, describe(python), rounds.threads, rounds.clock)

    @property
    def words(self) -> str:
        """For people: what device it is, and what runs on it."""
        cores = f"{self.cores} core{'s' * (self.cores != 1)}" if self.cores else None
        named = [self.board, self.cpu, cores, self.machine, self.runtime]
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return ", ".join(filter(None, [*named, threads]))

    def refuse_others(self, found: Identity, path: StrPath) -> None:
        """Raises UsageError where the table in a file is of something else than this."""
        if self != found:
            raise UsageError(
                f"{path} is of another device",
                cause=f"of {found.words}; this is {self.words}",
                hint="another file",
            )


@dataclass(frozen=True)
class Entry:
    """A block.

    Attributes:
        words: for people: the shapes of what it reads and writes.
        microseconds: of each round.
    """

    words: str
    microseconds: tuple[float, ...]

    @property
    def latency(self) -> float:
        """Microseconds of it."""
        return float(np.percentile(self.microseconds, PERCENTILE))


@dataclass(frozen=True)
class LatencyTable:
    """How long blocks take on a device.

    Attributes:
        identity: of the device.
        entries: by the blocks' keys.
        line: from the sum of a network's blocks to its own latency.
        check: how near the line comes to networks that it was not fitted to; None before.
    """

    identity: Identity
    entries: Mapping[str, Entry] = field(default_factory=dict)
    line: Line = PLAIN
    check: Check | None = None

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that it has no entry for, each once."""
        return [key for key in dict.fromkeys(keys) if key not in self.entries]

    def total(self, keys: Sequence[str]) -> float:
        """The sum over a network's blocks, in microseconds.

        Raises:
            KeyError: it lacks one.
        """
        return sum(self.entries[key].latency for key in keys)

    def latency(self, keys: Sequence[str]) -> float:
        """Microseconds of a network, of its blocks' keys in order.

        Raises:
            KeyError: it lacks one.
        """
        return self.line.at(self.total(keys))

    def with_rounds(self, found: Mapping[str, Entry]) -> LatencyTable:
        """The table with further rounds of blocks that it has, or has not."""
        entries = dict(self.entries)
        for key, entry in found.items():
            before = entries[key].microseconds if key in entries else ()
            entries[key] = replace(entry, microseconds=before + entry.microseconds)
        return replace(self, entries=entries)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "identity": asdict(self.identity),
            "line": asdict(self.line),
            "check": None if self.check is None else asdict(self.check),
            "blocks": {key: asdict(entry) for key, entry in self.entries.items()},
        }

    def save(self, path: StrPath) -> LatencyTable:
        """Writes it into a file, with the blocks that another process wrote there meanwhile.

        Returns:
            What is in the file now.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            both = self
            if path.exists():
                there = load_table(path)
                self.identity.refuse_others(there.identity, path)
                both = replace(self, entries={**there.entries, **self.entries})
            write_json(path, both.to_dict())
        return both


_REFUSAL = "holds no table of latencies"
_HINT = "edgekit latency-table --out FILE"


class _Version(Struct):
    schema_version: int


class _Contents(Struct):
    """What `LatencyTable.to_dict` gives."""

    identity: Identity
    line: Line
    check: Check | None
    blocks: dict[str, Entry]


def load_table(path: StrPath) -> LatencyTable:
    """Reads a table from its file.

    Raises:
        UsageError: there is none, or it is damaged or of another version.
    """
    known = load_record(path, _Version, _REFUSAL, _HINT)
    if known.schema_version != SCHEMA_VERSION:
        raise UsageError(f"{path} is of another version", hint="edgekit latency-table again")
    found = load_record(path, _Contents, _REFUSAL, _HINT)
    return LatencyTable(found.identity, found.blocks, found.line, found.check)
