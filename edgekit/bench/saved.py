"""Compares a measurement of `edgekit.bench.side_by_side` with one that was saved before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, convert

from edgekit.bench.side_by_side import SCHEMA_VERSION, Document
from edgekit.errors import GateError
from edgekit.system.paths import StrPath
from edgekit.system.records import load_record
from edgekit.system.text import milliseconds


class SavedHost(Struct, frozen=True):
    """What two results of one machine have in common."""

    cpu: str
    cores: int


class SavedFile(Struct, frozen=True):
    """What is compared of a file."""

    path: str
    runtime: str
    median_ms: Annotated[float, Meta(gt=0)]


class Saved(Struct, frozen=True):
    """What is compared of a `edgekit.bench.side_by_side.Document`, of the version that it has."""

    schema_version: Annotated[int, Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    host: SavedHost
    threads: int
    files: tuple[SavedFile, ...]


@dataclass(frozen=True)
class Change:
    """One file, now and as it was saved.

    Attributes:
        fraction: by which the median grew; negative where it shrank.
        slower: whether that is more than the tolerance.
    """

    path: str
    now_ms: float
    saved_ms: float
    fraction: float
    slower: bool

    def __str__(self) -> str:
        now, saved = milliseconds(self.now_ms), milliseconds(self.saved_ms)
        return f"{Path(self.path).name}: {now} ms against {saved} ms ({100 * self.fraction:+.1f} %)"


@dataclass(frozen=True)
class Comparison:
    """All files that both sides have.

    Attributes:
        changes: in the order of the new document's files; None for a file that was not saved.
        warnings: why the saved figures may not be comparable, and which files only one side has.
    """

    changes: list[Change | None]
    warnings: list[str]

    def check(self, saved: StrPath, tolerance: float) -> None:
        """Raises GateError naming each file that is slower.

        Args:
            saved: the file that it was compared with.
            tolerance: percent, for the message.
        """
        saved = Path(saved)
        slower = [str(change) for change in self.changes if change and change.slower]
        if slower:
            files = "1 file is" if len(slower) == 1 else f"{len(slower)} files are"
            raise GateError(
                f"{files} slower than in {saved} by more than {tolerance:g} %",
                cause="; ".join(slower),
            )


def read(path: StrPath) -> Saved:
    """Reads what `edgekit.bench.side_by_side` saved.

    Raises:
        UsageError: the file cannot be read, or is something else.
    """
    return load_record(
        path, Saved, "is no saved measurement", "give what edgekit bench --out has written"
    )


def compare(document: Document, saved: Saved, tolerance: float) -> Comparison:
    """Compares medians, file by file.

    Files belong together that have the same name; where a side has a name more than once, those
    of the same path.

    Args:
        document: what has been measured.
        saved: what it is compared with.
        tolerance: percent by which a median may be larger than the saved one.
    """
    now = convert(document, Saved)
    unclear = {
        name
        for side in (now, saved)
        for name, count in Counter(Path(file.path).name for file in side.files).items()
        if count > 1
    }

    def key(file: SavedFile) -> str:
        name = Path(file.path).name
        return file.path if name in unclear else name

    before = {key(file): file for file in saved.files}
    pairs = [(file, before.get(key(file))) for file in now.files]
    gone = before.keys() - {key(file) for file in now.files}
    warnings = [
        *_other_machine(now, saved),
        *_other_runtimes([(file, old) for file, old in pairs if old]),
        *(f"{file.path} is not in the saved result" for file, old in pairs if not old),
        *(f"{before[name].path} is only in the saved result" for name in sorted(gone)),
    ]
    return Comparison([_change(file, old, tolerance) for file, old in pairs], warnings)


def _change(now: SavedFile, saved: SavedFile | None, tolerance: float) -> Change | None:
    if saved is None:
        return None
    fraction = now.median_ms / saved.median_ms - 1
    slower = fraction > tolerance / 100
    return Change(now.path, now.median_ms, saved.median_ms, fraction, slower)


def _other_machine(now: Saved, saved: Saved) -> Iterator[str]:
    for what, here, there in (
        ("CPU", now.host.cpu, saved.host.cpu),
        ("number of cores", now.host.cores, saved.host.cores),
    ):
        if here != there:
            yield (
                f"the saved result is of another {what} ({there}, here {here}): "
                "a saved result of another machine is no evidence"
            )
    if now.threads != saved.threads:
        yield f"the saved result is of {saved.threads} threads, this one of {now.threads}"


def _other_runtimes(pairs: list[tuple[SavedFile, SavedFile]]) -> list[str]:
    changed = {(old.runtime, new.runtime) for new, old in pairs}
    return [
        f"the saved result is of {before}, this one of {after}"
        for before, after in sorted(changed)
        if before != after
    ]
