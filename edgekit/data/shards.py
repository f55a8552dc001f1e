"""WebDataset shards: photos that lie in tar files, found once and then read by offset.

In a shard, members that follow each other and have the same key are a sample; the key is the path
up to the first dot of its last part. A sample ``flower/0001`` may consist of ``flower/0001.jpg``
and ``flower/0001.cls``, say (https://github.com/webdataset/webdataset).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from textwrap import shorten
from typing import IO, NamedTuple

from edgekit.data.folders import Listing, PhotoFile, Progress, Source, Span, printable
from edgekit.data.images import EXTENSIONS
from edgekit.data.shard_names import PIPE, named_shards
from edgekit.data.tar_entries import read_entries
from edgekit.errors import UsageError
from edgekit.system.collection import without_collection
from edgekit.system.download import writing
from edgekit.system.files import cache_folder
from edgekit.system.paths import StrPath

# What compressed files begin with, and the program that unpacks them.
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_PHOTOS = frozenset(extension.removeprefix(".") for extension in EXTENSIONS)
_LABEL_KEYS = ("label", "class", "cls")  # of a sample's JSON
_LABEL_BYTES = 1 << 20  # more is no label
_BUFFER = 1 << 13  # at once: tiny photos come with their headers, of large ones little is read
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def find_shards(
    given: Source, option: str, spool: StrPath | None = None, progress: Progress | None = None
) -> tuple[Path, ...] | None:
    """Finds the shards that the user names; what commands print is spooled to files first.

    Shards are read at random, again and again, which a pipe does not allow. A spooled file is kept,
    and the command is not run again in the same working directory.

    Args:
        given: a ``.tar``; several in braces (``train-{000..146}.tar``, ``{a,b}.tar``); a folder
            with ``.tar`` files and neither photos nor folders; a text file that lists shards, one a
            line; or ``pipe:COMMAND``, which is run without a shell, braces expanded.
        option: how the user named it, for messages ('--data').
        spool: the folder for what commands print; None is ``shards`` in the user's cache folder.
        progress: called with ('spool', done, total) as commands are run.

    Returns:
        Absolute paths in the order given, each once; None if no shards are meant.

    Raises:
        UsageError: a shard is missing, or a command fails or prints no whole tar.
        EdgekitError: the spool folder cannot be written to.
    """
    spool = Path(spool) if spool is not None else None
    try:
        names = named_shards(given, option)
        if names is None:
            return None
        found: dict[Path, None] = {}  # an ordered set
        for done, name in enumerate(names):
            if not name.startswith(PIPE):
                found[_existing(name, option)] = None
                continue
            if progress:
                progress("spool", done, len(names))
            found[_spooled(name.removeprefix(PIPE).strip(), option, spool)] = None
    except OSError as error:
        raise UsageError(f"{option} {given} cannot be read", cause=str(error)) from error
    return tuple(found)


def list_shards(
    shards: Sequence[StrPath],
    source: Source,
    option: str,
    *,
    classes: bool = True,
    progress: Progress | None = None,
) -> Listing:
    """Finds the photos in shards; each tar is gone through once.

    The class of a sample is in its ``cls`` member, an integer or a name, or in its ``json`` as
    ``label``, ``class`` or ``cls``. If no sample has one, the class is the name of the folder that
    a photo is in.

    Args:
        shards: what `find_shards` returned.
        source: what the user gave, for messages.
        option: how the user named it, for messages ('--data').
        classes: whether photos without a class are left out.
        progress: called with ('index', done, total) as shards are gone through.

    Raises:
        UsageError: a shard cannot be used, a key stands twice, or no photo can be used.
    """
    paths = [Path(path) for path in shards]
    samples = _index(paths, option, progress)
    told = any(sample.label for sample in samples)
    photos = [
        PhotoFile(sample.photo, sample.name, sample.label if told else sample.folder)
        for sample in samples
        if sample.photo
    ]
    if not photos:
        raise UsageError(
            f"{option} {source} holds no photo",
            cause=f"none of its {len(samples)} samples has a jpg, jpeg, png, webp or bmp",
            hint="give shards in which each sample has a photo and a class",
        )
    usable = [photo for photo in photos if photo.label or not classes]
    if not usable:
        raise UsageError(
            f"{option} {source} holds {len(photos)} photos, but no classes",
            hint="give each sample a 'cls' member, or a 'json' member with a 'label', or put the "
            "photos into folders named after the class",
        )
    warnings = [
        *_left_out("samples", "photo", source, [s.key for s in samples if not s.photo]),
        *_left_out("photos", "class", source, [p.name for p in photos if classes and not p.label]),
    ]
    return Listing(
        source=str(source),
        files=tuple(sorted(usable, key=attrgetter("name"))),
        warnings=tuple(warnings),
        numbered=told and all(_INTEGER.fullmatch(photo.label) for photo in usable),
    )


def _existing(name: str, option: str) -> Path:
    if not (path := Path(os.path.abspath(name))).is_file():
        raise UsageError(
            f"the shard {path} of {option} does not exist",
            hint="check the path, and the numbers in braces: both ends are meant",
        )
    return path


def _spooled(command: str, option: str, spool: Path | None) -> Path:
    """Runs a command, unless its output lies there already, and returns where that lies."""
    folder = Path(os.path.abspath(spool or cache_folder().with_name("shards")))
    # The folder counts as well: a relative path in the command is another file elsewhere.
    key = hashlib.sha256(os.fsencode(f"{os.getcwd()}\0{command}")).hexdigest()
    target = folder / f"{key}.tar"
    if target.is_file():
        return target
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{key[:16]}-", suffix=".part", dir=folder)
    part = Path(name)
    try:
        with open(handle, "wb") as file:
            _run(command, option, file)
        try:
            deque(_members(part, option), maxlen=0)  # goes through it
        except UsageError as error:
            raise _failed(command, option, f"it prints no whole tar: {error.cause}") from error
        with writing(folder):
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _run(command: str, option: str, output: IO[bytes]) -> None:
    try:
        words = shlex.split(command)
        if not words:
            raise ValueError("it is empty")
        done = subprocess.run(  # noqa: S603 - a list, no shell
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False
        )
    except (OSError, ValueError) as error:
        raise _failed(command, option, str(error)) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise _failed(command, option, f"exit code {done.returncode}: {shorten(said[-1], 200)}")


def _failed(command: str, option: str, cause: str) -> UsageError:
    return UsageError(
        f"the command of {option} failed: {shorten(printable(command), 200)}",
        cause=cause,
        hint="try it in a terminal; it runs without a shell and must print an uncompressed tar",
    )


class _Member(NamedTuple):
    """A file in a shard: its printable name in parts, and its bytes where they may be a label."""

    key: str
    extension: str
    span: Span
    content: bytes


class _Sample(NamedTuple):
    """The members of a key: the photo and its name, the label that is told, and the folder's."""

    key: str
    photo: Span | None
    name: str
    label: str
    folder: str


def _index(shards: Sequence[Path], option: str, progress: Progress | None) -> list[_Sample]:
    """Returns the samples of all shards."""
    samples: list[_Sample] = []
    found: dict[str, Path] = {}
    with without_collection():
        for done, shard in enumerate(shards, 1):
            for sample in _samples(shard, option):
                if sample.key in found:
                    raise _twice(sample.key, option, found[sample.key], shard)
                found[sample.key] = shard
                samples.append(sample)
            if progress:
                progress("index", done, len(shards))
    return samples


def _samples(shard: Path, option: str) -> Iterator[_Sample]:
    for key, group in groupby(_members(shard, option), key=itemgetter(0)):
        members: dict[str, _Member] = {}
        photo: _Member | None = None
        for member in group:
            if member.extension in members:
                raise _twice(f"{key}.{member.extension}", option, shard, shard)
            members[member.extension] = member
            if photo is None and member.extension.lower() in _PHOTOS:
                photo = member
        name = f"{key}.{photo.extension}" if photo else key
        folder = sys.intern(key.rpartition("/")[0].rpartition("/")[2]) if "/" in key else ""
        yield _Sample(key, photo.span if photo else None, name, _label(members), folder)


def _members(shard: Path, option: str) -> Iterator[_Member]:
    """Yields the files of a tar that are part of a sample.

    Raises:
        UsageError: it is no tar, or ends early.
    """
    try:
        with shard.open("rb", buffering=_BUFFER) as file:
            for entry, offset, size in read_entries(file):
                name = entry.removeprefix("./").lstrip("/")
                if not name.isascii():
                    name = printable(name)
                start = name.rfind("/") + 1
                dot = name.find(".", start)
                if dot <= start:
                    continue  # a hidden file, or one without an ending
                extension = name[dot + 1 :]
                content = b""
                if extension in ("cls", "json") and size <= _LABEL_BYTES:
                    file.seek(offset)
                    content = file.read(size)
                yield _Member(name[:dot], extension, Span(shard, offset, size), content)
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise _unusable(shard, option, error) from error


def _unusable(shard: Path, option: str, error: Exception) -> UsageError:
    message, beginning = f"the shard {shard} of {option} cannot be read", b""
    with suppress(OSError), shard.open("rb") as file:
        beginning = file.read(8)
    program = next((tool for magic, tool in _PACKED.items() if beginning.startswith(magic)), None)
    if program is None:
        return UsageError(message, cause=str(error), hint="make or copy it again, or leave it out")
    return UsageError(
        message,
        cause=f"it is compressed ({program}), and photos are read at random",
        hint=f"unpack it, or give '{PIPE}{program} -dc {shlex.quote(str(shard))}'",
    )


def _label(members: Mapping[str, _Member]) -> str:
    """Returns the class that a sample tells, an integer as decimal text; '' if it tells none."""
    if "cls" in members:
        return _class_of(members["cls"].content)
    text = ""
    if "json" in members:
        with suppress(ValueError, RecursionError):
            record = json.loads(members["json"].content)
            known = record if isinstance(record, dict) else {}
            value = next((known[key] for key in _LABEL_KEYS if key in known), None)
            if isinstance(value, int | str) and not isinstance(value, bool):
                text = printable(str(value)).strip()
    return _number_or_name(text)


@lru_cache(1 << 14)  # a million photos have a thousand classes
def _class_of(content: bytes) -> str:
    return _number_or_name(content.decode(errors="backslashreplace").strip())


def _number_or_name(text: str) -> str:
    return sys.intern(str(int(text)) if _INTEGER.fullmatch(text) else text)


def _twice(key: str, option: str, first: Path, second: Path) -> UsageError:
    return UsageError(
        f"{option} has the sample {key} twice",
        cause=f"it is in {first}" + (f" and in {second}" if second != first else ""),
        hint="give each shard once; keys must differ, as photos are known by them",
    )


def _left_out(what: str, lacks: str, source: Source, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{len(names)} {what} of {source} have no {lacks}, the first is {names[0]}"
