"""Which shards a user names: by a path, in braces, by a folder, in a list, or by a command."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten

from edgekit.data.folders import entries_of
from edgekit.data.images import EXTENSIONS
from edgekit.data.photo_files import Source, printable
from edgekit.data.split_folders import SPLITS, role_of
from edgekit.errors import UsageError

PIPE = "pipe:"
"""Before a command whose output is a shard."""

_SHARD = re.compile(rf"^{PIPE}|\.(tar(\.\w+)?|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


def named_shards(given: Source, option: str) -> list[str] | None:
    """Returns the paths and commands that the user means by shards, if any are meant.

    Raises:
        UsageError: shards are named with something else, or of several splits.
        OSError: a folder or list cannot be read.
    """
    text, path = os.fspath(given), Path(given)
    if text.startswith(PIPE):
        return expand_braces(text)
    if os.path.isdir(text):  # which takes a text of any length, as `Path.is_dir` does not
        return _in_folder(path, option)
    if os.path.isfile(text) and not _SHARD.search(text):
        return _in_list(path, option)
    names = [text] if os.path.exists(text) else expand_braces(text)
    return names if all(map(_SHARD.search, names)) else None


def _in_folder(folder: Path, option: str) -> list[str] | None:
    """Returns the tars of a folder, unless it holds photos or folders: it is one of photos then."""
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if any(path.suffix.lower() in EXTENSIONS or path.is_dir() for path in found):
        return None
    shards = [path for path in found if _SHARD.search(path.name)]
    splits: dict[str, list[str]] = {}
    for path in shards:
        splits.setdefault(role_of(path.name.partition(".")[0]), []).append(path.name)
    splits = {role: names for role, names in splits.items() if role in SPLITS}
    if len(splits) > 1:
        raise _several_splits(folder, option, splits)
    return [str(path) for path in shards] or None


def _several_splits(folder: Path, option: str, splits: Mapping[str, list[str]]) -> UsageError:
    counts = ", ".join(f"{len(names)} for {role}" for role, names in splits.items())
    options = [option] if option != "--data" else ["--data", "--val"]
    ordered = sorted(splits.items(), key=lambda entry: SPLITS.index(entry[0]))
    hint = " ".join(
        f"{name} {shlex.quote(f'{folder}/' + (names[0] if len(names) == 1 else each))}"
        for name, (_, names) in zip(options, ordered, strict=False)
        for each in ["{" + ",".join(names) + "}"]
    )
    return UsageError(
        f"{option} {folder} holds shards of several splits",
        cause=f"by their names: {counts}",
        hint=hint,
    )


def _in_list(source: Path, option: str) -> list[str] | None:
    """Returns what a text file lists, if its first line is a shard and not a photo."""
    with source.open("rb") as file:
        beginning = entries_of(file.read(1 << 16))
    if not beginning or not _SHARD.search(beginning[0]):
        return None
    entries = entries_of(source.read_bytes())
    if others := [entry for entry in entries if not _SHARD.search(entry)]:
        raise UsageError(
            f"{option} {source} lists shards and other files",
            cause=f"{len(others)} lines are no .tar: {shorten(printable(others[0]), 100)}",
            hint="list either shards or photos",
        )
    names = [name for entry in entries for name in expand_braces(entry)]
    return [name if name.startswith(PIPE) else str(source.parent / name) for name in names]


def expand_braces(text: str) -> list[str]:
    """Returns what a shell makes of ``{000..146}`` and ``{a,b}``: every combination, in order."""
    match = _BRACES.search(text)
    if match is None:
        return [text]
    first, last, words = match.groups()
    choices = words.split(",") if words else _numbers(first, last)
    before, after = text[: match.start()], text[match.end() :]
    return [each for choice in choices for each in expand_braces(before + choice + after)]


def _numbers(first: str, last: str) -> list[str]:
    step = 1 if int(first) <= int(last) else -1
    width = max((len(end) for end in (first, last) if end.startswith("0")), default=0)
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + step, step)]
