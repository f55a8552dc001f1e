"""Reading every file of a data set once, in threads, or of a huge one a part of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np

from edgekit.data.folders import (
    FilePhotos,
    HashedPhotos,
    Listing,
    PhotoFile,
    Place,
    Progress,
    Span,
    reason_of,
)
from edgekit.data.images import UnreadableImageError, check
from edgekit.data.shard_photos import ShardPhotos
from edgekit.errors import UsageError
from edgekit.system.collection import without_collection
from edgekit.system.threads import ordered_map

T = TypeVar("T")
R = TypeVar("R")
Photos = TypeVar("Photos", bound=HashedPhotos)

UNREADABLE_LIMIT = 0.05
#: Of more photos than this, decoding each before the first step takes longer than it is worth:
#: ImageNet's 1.3 million take most of an hour on two cores.
CHECK_UP_TO = 100_000

_END = 4096  # bytes of a photo that are read of it
_PART = 256  # photos that a thread skims at once
_HANDED_OVER, _PARTS = 32, 256  # photos that a thread decodes at once at most, of so many parts
_BUFFER = 1 << 13


class Scanned(NamedTuple):
    """What reading a file once gave.

    Attributes:
        sha256: in hex, of its contents, or of its size and end where it was not read in full.
        problem: what is wrong with it.
    """

    sha256: str = ""
    problem: str = ""


def scan(files: Iterable[PhotoFile], progress: Progress | None = None) -> dict[Place, Scanned]:
    """Reads and decodes each photo once, in threads.

    Returns:
        For each place what was found.
    """
    places = _places(files)
    return dict(zip(places, read_each(_scan_one, places, progress), strict=True))


def skim(files: Iterable[PhotoFile], progress: Progress | None = None) -> dict[Place, Scanned]:
    """Reads the size and the end of each photo, in threads: a hundredth of the time of `scan`.

    The end of a JPEG is of its compressed pixels. Two photos of the same length to the byte and
    the same end are taken for the same.

    Returns:
        For each place what was found; a photo that cannot be decoded is not noticed.
    """
    with without_collection():
        places = _places(files)
        parts = [places[first : first + _PART] for first in range(0, len(places), _PART)]
        found: dict[Place, Scanned] = {}
        with closing(_in_threads(_skim_part, parts)) as results:
            for part, result in zip(parts, results, strict=True):
                found.update(zip(part, result, strict=True))
                if progress:
                    progress("skim", len(found), len(places))
    return found


def check_all(
    photos: Photos, option: str, progress: Progress | None = None
) -> tuple[Photos, list[tuple[str, str]]]:
    """Decodes photos that were only skimmed.

    Args:
        photos: of one set.
        option: how the user named it, for messages ('--val').
        progress: called with ('scan', done, total).

    Returns:
        Those that can be decoded, and the names of the others and why.

    Raises:
        UsageError: too many cannot be.
    """
    if photos.checked:
        return photos, []
    problems = [one.problem for one in read_each(_scan_one, photos.places, progress)]
    bad = [(photos.names[i], problem) for i, problem in enumerate(problems) if problem]
    refuse_many(bad, len(photos), option)
    kept = photos.subset([i for i, problem in enumerate(problems) if not problem])
    return replace(kept, checked=True), bad


def refuse_many(bad: Sequence[tuple[str, str]], count: int, what: str) -> None:
    """Raises UsageError where more than a twentieth of ``count`` photos could not be read."""
    if len(bad) > UNREADABLE_LIMIT * count:
        raise UsageError(
            f"{len(bad)} of the {count} photos of {what} cannot be read, "
            f"more than {UNREADABLE_LIMIT:.0%}",
            cause="; ".join(f"{name}: {problem}" for name, problem in bad[:3])
            + ("; …" if len(bad) > 3 else ""),
            hint="repair or remove them",
        )


def readable(option: str, listing: Listing, scanned: Mapping[Place, Scanned]) -> list[PhotoFile]:
    """Returns the photos of a listing that could be read.

    Raises:
        UsageError: too many could not.
    """
    bad = unreadable_of([listing], scanned)
    if not bad:
        return list(listing.files)
    refuse_many(bad, len(listing.files), f"{option} {listing.source}")
    return [file for file in listing.files if not scanned[file.place].problem]


def unreadable_of(
    listings: Iterable[Listing], scanned: Mapping[Place, Scanned]
) -> list[tuple[str, str]]:
    """Returns the names of the photos that could not be read, and why."""
    if not any(one.problem for one in scanned.values()):  # sooner than looking each up
        return []
    files = (file for entry in listings for file in entry.files)
    return [(f.name, problem) for f in files if (problem := scanned[f.place].problem)]


def photo_set(
    files: Sequence[PhotoFile],
    labels: Sequence[str],
    scanned: Mapping[Place, Scanned],
    *,
    checked: bool = True,
) -> HashedPhotos:
    """Returns the photos as a set; the class of a label that is not in ``labels`` is -1."""
    index = {label: i for i, label in enumerate(labels)}
    numbers = np.array([index.get(file.label, -1) for file in files], np.int64)
    names = (file.name for file in files)
    hashes = (scanned[file.place].sha256 for file in files)
    spans = [file.place for file in files if isinstance(file.place, Span)]
    if spans:
        return ShardPhotos.pack(spans, names, numbers, hashes, checked=checked)
    places = tuple(file.place for file in files)
    return FilePhotos(places, tuple(names), numbers, tuple(hashes), checked=checked)


def read_each(
    function: Callable[[T], R], items: Sequence[T], progress: Progress | None = None
) -> list[R]:
    """Returns ``function(item)`` of each item, in order, computed in threads; 'scan' is told."""
    found: list[R] = []

    def of_part(part: Sequence[T]) -> list[R]:
        return list(map(function, part))

    # Handing over an item takes as long as decoding a tiny photo.
    size = max(1, min(_HANDED_OVER, len(items) // _PARTS))
    parts = [items[first : first + size] for first in range(0, len(items), size)]
    with closing(_in_threads(of_part, parts)) as results:
        for result in results:
            found += result
            if progress:
                progress("scan", len(found), len(items))
    return found


def _in_threads(function: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
    threads = min(8, os.cpu_count() or 1)
    return ordered_map(function, items, workers=threads, ahead=64 * threads)


def _places(files: Iterable[PhotoFile]) -> list[Place]:
    """Places in the order in which they lie in a tar: a disk is fastest forwards."""
    return sorted(dict.fromkeys(file.place for file in files), key=_position)


def _position(place: Place) -> tuple[str, int]:
    # Of text, which is compared ten times as fast as a path.
    return (str(place.path), place.offset) if isinstance(place, Span) else (str(place), 0)


def _scan_one(place: Place) -> Scanned:
    try:
        data = place.read_bytes()
        check(data)
    except (OSError, UnreadableImageError) as error:
        return Scanned(problem=reason_of(error))
    return Scanned(sha256=hashlib.sha256(data).hexdigest())


def _skim_part(places: Sequence[Place]) -> list[Scanned]:
    """Skims photos that lie next to each other; those of a tar while it is open."""
    found: list[Scanned] = []
    for path, there in groupby(places, key=_path_of):
        mine = list(there)
        try:
            with path.open("rb", buffering=_BUFFER) as file:
                for place in mine:
                    found.append(_skim_one(file, place))
        except OSError as error:
            found += [Scanned(problem=reason_of(error))] * (len(mine))
    return found


def _path_of(place: Place) -> Path:
    return place.path if isinstance(place, Span) else place


def _skim_one(file: BinaryIO, place: Place) -> Scanned:
    start, size = (place.offset, place.size) if isinstance(place, Span) else (0, file.seek(0, 2))
    if not size:
        return Scanned(problem="the file is empty")
    file.seek(start + max(0, size - _END))
    end = file.read(min(size, _END))
    if len(end) < min(size, _END):
        return Scanned(problem="the file has become shorter")
    return Scanned(hashlib.sha256(b"%d\0%b" % (size, end)).hexdigest())
