"""WebDataset shards: photos that lie in tar files, found once and then read by offset.

What is in one shard is in `edgekit.data.shards.index`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from textwrap import shorten
from typing import IO

import numpy as np
import numpy.typing as npt

from edgekit.data.columns import Digests, Texts
from edgekit.data.photo_files import Progress, Source, printable
from edgekit.data.shards.headers import index_shard
from edgekit.data.shards.index import ShardIndex, concatenate_indexes
from edgekit.data.shards.members import INTEGER, DuplicateMemberError
from edgekit.data.shards.names import PIPE, named_shards
from edgekit.data.shards.photos import ShardFiles, ShardListing, Spans
from edgekit.data.shards.pool import index_shards
from edgekit.data.shards.tar_entries import BlockReader, read_entries
from edgekit.errors import UsageError
from edgekit.system.download import writing
from edgekit.system.files import cache_folder
from edgekit.system.paths import StrPath

# What compressed files begin with, and the program that unpacks them.
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


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
) -> ShardListing:
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
    parts = _index(paths, option, progress)
    found = concatenate_indexes(parts)
    labels, label = found.labels, found.label
    told = any(labels)
    if not told:
        labels, label = found.folders, found.folder
    is_photo = found.offset >= 0
    if not is_photo.any():
        raise UsageError(
            f"{option} {source} holds no photo",
            cause=f"none of its {len(found)} samples has a jpg, jpeg, png, webp or bmp",
            hint="give shards in which each sample has a photo and a class",
        )
    has_label = np.array([bool(text) for text in labels])[label]
    usable = np.flatnonzero(is_photo & has_label if classes else is_photo)
    if not len(usable):
        raise UsageError(
            f"{option} {source} holds {is_photo.sum()} photos, but no classes",
            hint="give each sample a 'cls' member, or a 'json' member with a 'label', or put the "
            "photos into folders named after the class",
        )
    names = list(found.names)
    order = np.array(sorted(usable.tolist(), key=names.__getitem__), np.int64)
    shard = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    places = Spans(paths, shard, found.offset, found.size)
    files = ShardFiles(places, found.names, tuple(labels), label)
    return ShardListing(
        source=str(source),
        files=files.take(order),
        warnings=(
            *_left_out("samples", "photo", source, found.names, ~is_photo),
            *_left_out("photos", "class", source, found.names, is_photo & ~has_label & classes),
        ),
        numbered=told and all(INTEGER.fullmatch(labels[i]) for i in np.unique(label[usable])),
        ends_read=Digests(found.ends[order]),
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
            with _reading(part, option), part.open("rb") as tar:
                deque(read_entries(BlockReader(tar)), maxlen=0)  # goes through it
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


def _index(shards: Sequence[Path], option: str, progress: Progress | None) -> list[ShardIndex]:
    """Returns what each shard holds, where no key stands twice."""
    found = []
    with closing(index_shards(shards)) as parts:
        for shard, part in zip(shards, parts, strict=True):
            with _reading(shard, option):
                found.append(index_shard(shard) if part is None else part)
            if progress:
                progress("index", len(found), len(shards))
    _refuse_twice(shards, found, option)
    return found


def _refuse_twice(shards: Sequence[Path], parts: Sequence[ShardIndex], option: str) -> None:
    keys = (key for part in parts for key in part.names.encoded(part.keys))
    count = sum(map(len, parts))
    # Of a million keys, the hashes take ten megabytes, and the keys themselves a hundred.
    hashes = np.sort(np.fromiter(map(hash, keys), np.int64, count))
    if (hashes[1:] != hashes[:-1]).all():
        return
    found: dict[bytes, Path] = {}
    for shard, part in zip(shards, parts, strict=True):
        for key in part.names.encoded(part.keys):
            if key in found:
                raise _twice(key.decode(), option, found[key], shard)
            found[key] = shard


@contextmanager
def _reading(shard: Path, option: str) -> Iterator[None]:
    """Says of what fails within the block that the shard cannot be used."""
    try:
        yield
    except DuplicateMemberError as error:
        raise _twice(error.member, option, shard, shard) from error
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


def _twice(key: str, option: str, first: Path, second: Path) -> UsageError:
    return UsageError(
        f"{option} has the sample {key} twice",
        cause=f"it is in {first}" + (f" and in {second}" if second != first else ""),
        hint="give each shard once; keys must differ, as photos are known by them",
    )


def _left_out(
    what: str, lacks: str, source: Source, names: Texts, which: npt.NDArray[np.bool_]
) -> Iterator[str]:
    if which.any():
        first = names[int(which.argmax())]
        yield f"{which.sum()} {what} of {source} have no {lacks}, the first is {first}"
