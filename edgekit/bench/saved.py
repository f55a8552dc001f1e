"""Compares a measurement of `edgekit.bench.side_by_side` with one that was saved before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgekit.bench.side_by_side import SCHEMA_VERSION, Document, File
from edgekit.errors import GateError, UsageError
from edgekit.system.paths import StrPath
from edgekit.system.text import milliseconds


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


def read(path: StrPath) -> Document:
    """Reads what `edgekit.bench.side_by_side` saved.

    Raises:
        UsageError: the file cannot be read, or is something else.
    """
    path = Path(path)
    hint = "give what edgekit bench --out has written"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}", cause=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no saved measurement", cause=str(error), hint=hint) from error
    problem = _problem(document)
    if problem:
        raise UsageError(f"{path} is no saved measurement", cause=problem, hint=hint)
    return cast(Document, document)


def compare(now: Document, saved: Document, tolerance: float) -> Comparison:
    """Compares medians, file by file.

    Files belong together that have the same name; where a side has a name more than once, those
    of the same path.

    Args:
        now: what has been measured.
        saved: what it is compared with.
        tolerance: percent by which a median may be larger than the saved one.
    """
    unclear = {
        name
        for document in (now, saved)
        for name, count in Counter(Path(file["path"]).name for file in document["files"]).items()
        if count > 1
    }

    def key(file: File) -> str:
        name = Path(file["path"]).name
        return file["path"] if name in unclear else name

    before = {key(file): file for file in saved["files"]}
    pairs = [(file, before.get(key(file))) for file in now["files"]]
    gone = before.keys() - {key(file) for file in now["files"]}
    warnings = [
        *_other_machine(now, saved),
        *_other_runtimes([(file, old) for file, old in pairs if old]),
        *(f"{file['path']} is not in the saved result" for file, old in pairs if not old),
        *(f"{before[name]['path']} is only in the saved result" for name in sorted(gone)),
    ]
    return Comparison([_change(file, old, tolerance) for file, old in pairs], warnings)


def _change(now: File, saved: File | None, tolerance: float) -> Change | None:
    if saved is None:
        return None
    fraction = now["median_ms"] / saved["median_ms"] - 1
    slower = fraction > tolerance / 100
    return Change(now["path"], now["median_ms"], saved["median_ms"], fraction, slower)


def _other_machine(now: Document, saved: Document) -> Iterator[str]:
    for what, here, there in (
        ("CPU", now["host"]["cpu"], saved["host"]["cpu"]),
        ("number of cores", now["host"]["cores"], saved["host"]["cores"]),
    ):
        if here != there:
            yield (
                f"the saved result is of another {what} ({there}, here {here}): "
                "a saved result of another machine is no evidence"
            )
    if now["threads"] != saved["threads"]:
        yield f"the saved result is of {saved['threads']} threads, this one of {now['threads']}"


def _other_runtimes(pairs: list[tuple[File, File]]) -> list[str]:
    changed = {(old["runtime"], new["runtime"]) for new, old in pairs}
    return [
        f"the saved result is of {before}, this one of {after}"
        for before, after in sorted(changed)
        if before != after
    ]


def _problem(document: object) -> str | None:
    """What is missing of what `compare` reads."""
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        return f"it is not of schema version {SCHEMA_VERSION}"
    host, files = document.get("host"), document.get("files")
    if not isinstance(host, dict) or not {"cpu", "cores"} <= host.keys():
        return "it does not say which machine it is of"
    if not isinstance(document.get("threads"), int):
        return "it does not say of how many threads it is"
    if not isinstance(files, list) or not all(map(_is_file, files)):
        return "its files are not as they should be"
    return None


def _is_file(file: object) -> bool:
    return (
        isinstance(file, dict)
        and isinstance(file.get("path"), str)
        and isinstance(file.get("runtime"), str)
        and isinstance(file.get("median_ms"), int | float)
        and file["median_ms"] > 0
    )
