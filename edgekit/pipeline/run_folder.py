"""The folder of a run: chosen, checked and locked before anything is written into it."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from edgekit.data.hub.reference import is_on_hub
from edgekit.errors import EdgekitError, UsageError
from edgekit.options.build import BuildOptions
from edgekit.runs import RECORD, STAGES
from edgekit.system.files import read_json, write_json

#: Where runs lie that name no folder.
RUNS = Path("runs")
IDENTITY = "run.json"
LOCK = ".lock"
#: What the system says when there is no room left.
FULL = (errno.ENOSPC, errno.EDQUOT)


def choose_folder(options: BuildOptions) -> Path:
    """Returns ``--out``, or the first free or matching ``runs/MODEL-DATE``.

    Raises:
        UsageError: the folder holds something else, or a run of another model or data.
    """
    if options.out is not None:
        _check(options.out, options)
        return options.out
    date = datetime.datetime.now().astimezone().date().isoformat()
    base = RUNS / f"{options.spec.name}-{date}"
    number = 1
    while True:
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        if not folder.exists() or _identity(folder) == _wanted(options):
            return folder
        number += 1


def _wanted(options: BuildOptions) -> dict[str, str | None]:
    """What makes two builds the same run; the rest only changes some of its stages."""
    paths = {"data": options.data, "val": options.val}
    if options.photos is not None:  # which no older run has
        paths["photos"] = options.photos
    start = options.start
    if reference := options.hub_reference:
        start = str(reference)
    elif start not in ("none", "imagenet"):
        start = str(Path(start).resolve())
    return {
        "model": options.spec.name,
        **{name: _whole(path) for name, path in paths.items()},
        "weights": start,
    }


def _whole(photos: str | None) -> str | None:
    """A path from the root, so that it names the same photos from every folder."""
    if photos is None or photos.startswith("pipe:") or is_on_hub(photos):
        return photos
    return str(Path(photos).resolve())


def _identity(folder: Path) -> dict[str, str | None] | None:
    try:
        identity: dict[str, str | None] = read_json(folder / STAGES / IDENTITY)
    except (OSError, ValueError):
        return None
    return identity


def _check(folder: Path, options: BuildOptions) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file", hint="name a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    nothing_else = {path.name for path in folder.iterdir()} <= {STAGES, LOCK}
    if nothing_else and not any((folder / STAGES).glob(f"*/{RECORD}")):
        return  # a run that failed, or was killed, before it had anything to keep
    found, wanted = _identity(folder), _wanted(options)
    if found is None:
        raise UsageError(
            f"--out {folder} holds something else",
            cause="it is not empty, and no run of edgekit lies in it",
            hint="name a new or an empty folder; nothing was changed",
        )
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing and not options.overwrite:
        raise UsageError(
            f"--out {folder} holds a run with another {' and '.join(differing)}",
            cause=f"{differing[0]}: {found.get(differing[0])} there, {wanted[differing[0]]} now",
            hint="name another folder, or --overwrite; nothing was changed",
        )


@contextlib.contextmanager
def opened(folder: Path, options: BuildOptions) -> Iterator[None]:
    """Makes and locks the folder; turns what the system says about it into errors of ours.

    Raises:
        UsageError: it cannot be written, or another build is writing it.
        EdgekitError: the disk filled up.
    """
    with translated(folder):
        _make(folder / STAGES)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another build is running in {folder}", hint="wait for it, or name another --out"
            ) from None
        try:
            write_json(folder / STAGES / IDENTITY, _wanted(options))
            yield
        finally:
            lock.release()
            (folder / LOCK).unlink(missing_ok=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise _unwritable(folder.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write to {folder}",
        cause=error.strerror or str(error),
        hint="name another folder with --out",
    )


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turns a failure of the file system into an error that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL:
            raise EdgekitError(
                f"the disk of {folder} is full",
                cause=reason,
                hint="free some space and run the same command again; finished stages are kept",
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) or not os.access(
            _existing(folder), os.W_OK
        ):
            raise _unwritable(folder, error) from error
        raise EdgekitError(
            f"cannot read or write {error.filename or folder}", cause=reason
        ) from error


def _existing(folder: Path) -> Path:
    """The nearest folder that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
