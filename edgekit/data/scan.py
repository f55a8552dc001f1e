"""Reading every file of a data set once, or of a huge one a part of each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgekit.data.columns import Digests
from edgekit.data.photo_files import (
    HashedPhotos,
    Listing,
    PhotoFile,
    Place,
    Progress,
    Span,
    reason_of,
)
from edgekit.data.reading import Scanned, answered, read, request
from edgekit.data.shards.index import END_BYTES, hash_end
from edgekit.errors import UsageError
from edgekit.system.collection import without_collection
from edgekit.system.host import usable_cores
from edgekit.system.threads import ordered_map
from edgekit.system.workers import ask_each, command_of, processes_for

T = TypeVar("T")
R = TypeVar("R")
Photos = TypeVar("Photos", bound=HashedPhotos)

UNREADABLE_LIMIT = 0.05
#: Of more photos than this, decoding each before the first step takes longer than it is worth:
#: ImageNet's 1.3 million take most of an hour on two cores.
CHECK_UP_TO = 100_000

#: So many photos are decoded in processes. Of a tiny photo's time, all but a tenth is spent
#: where Python lets one thread go on at a time.
WORTH_PROCESSES = 10_000
READER = command_of("edgekit.data.reading")

_PART = 256  # photos that a thread skims at once, or a process reads
_HANDED_OVER, _PARTS = 32, 256  # photos that a thread decodes at once at most, of so many parts
_BUFFER = 1 << 13
_EMPTY = "the file is empty"


@dataclass(frozen=True)
class ReadListing:
    """The photos of a listing that could be read.

    Attributes:
        listing: with these photos alone.
        hashes: what tells each photo's contents from others'; see `HashedPhotos`.
        unreadable: names of the others, and why.
        checked: whether photos were decoded.
    """

    listing: Listing
    hashes: Sequence[str]
    unreadable: tuple[tuple[str, str], ...]
    checked: bool

    def photo_set(self, labels: Sequence[str]) -> HashedPhotos:
        """Returns the photos as a set; the class of a label that is not in ``labels`` is -1."""
        return self.listing.photo_set(labels, self.hashes, checked=self.checked)


def read_listings(
    listings: Mapping[str, Listing], progress: Progress | None = None, *, in_full: bool = True
) -> dict[str, ReadListing]:
    """Reads the photos of listings once, a photo that is in several of them too.

    Args:
        listings: by the option of each ('--data').
        progress: called with ('scan' or 'skim', done, total).
        in_full: whether photos are decoded; else as by `skim`.

    Raises:
        UsageError: too many photos of one cannot be read.
    """
    skimmed = {} if in_full else {option: entry.ends() for option, entry in listings.items()}
    rest = [entry for option, entry in listings.items() if skimmed.get(option) is None]
    scanned = (scan if in_full else skim)((file for one in rest for file in one.files), progress)
    found = {}
    for option, listing in listings.items():
        if ends := skimmed.get(option):
            hashes, problems = ends[0], dict.fromkeys(ends[1].tolist(), _EMPTY)
        else:
            ones = [scanned[file.place] for file in listing.files]
            hashes = [one.sha256 for one in ones]
            problems = {i: one.problem for i, one in enumerate(ones) if one.problem}
        found[option] = _readable(option, listing, hashes, problems, in_full)
    return found


def _readable(
    option: str,
    listing: Listing,
    hashes: Sequence[str],
    problems: Mapping[int, str],
    checked: bool,
) -> ReadListing:
    if not problems:
        return ReadListing(listing, hashes, (), checked)
    bad = tuple((listing.files[i].name, problem) for i, problem in problems.items())
    refuse_many(bad, len(listing.files), f"{option} {listing.source}")
    kept = np.setdiff1d(np.arange(len(listing.files)), list(problems))
    taken = hashes.take(kept) if isinstance(hashes, Digests) else [hashes[i] for i in kept]
    return ReadListing(listing.take(kept), taken, bad, checked)


def scan(files: Iterable[PhotoFile], progress: Progress | None = None) -> dict[Place, Scanned]:
    """Reads and decodes each photo once, at several places at a time.

    Returns:
        For each place what was found.
    """
    places = _places(files)
    return dict(zip(places, _read_all(places, progress), strict=True))


def skim(files: Iterable[PhotoFile], progress: Progress | None = None) -> dict[Place, Scanned]:
    """Reads the size and the end of each file, in threads: a hundredth of the time of `scan`.

    Those of photos in shards are known since they were listed (`Listing.ends`).

    The end of a JPEG is of its compressed pixels. Two photos of the same length to the byte and
    the same end are taken for the same.

    Returns:
        For each place what was found; a photo that cannot be decoded is not noticed.
    """
    with without_collection():
        paths = sorted(dict.fromkeys(file.path for file in files), key=str)
        parts = _in_parts(paths, _PART)
        found: dict[Place, Scanned] = {}
        with closing(_in_threads(_skim_part, parts)) as results:
            for part, result in zip(parts, results, strict=True):
                found.update(zip(part, result, strict=True))
                if progress:
                    progress("skim", len(found), len(paths))
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
    problems = [one.problem for one in _read_all(photos.places, progress)]
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


def _read_all(places: Sequence[Place], progress: Progress | None) -> list[Scanned]:
    """Reads photos in threads, or many of them in processes."""
    if len(places) < WORTH_PROCESSES or not (count := processes_for(len(places))):
        return read_each(read, places, progress)
    parts = _in_parts(places, _PART)
    found: list[list[Scanned]] = []
    with closing(ask_each(READER, list(map(request, parts)), count)) as answers:
        for answer in answers:
            found.append(answered(answer) if answer else [])
            if progress:
                progress("scan", min(len(found) * _PART, len(places)), len(places))
    left = [place for part, given in zip(parts, found, strict=True) if not given for place in part]
    rest = iter(read_each(read, left))
    return [
        one
        for part, given in zip(parts, found, strict=True)
        for one in given or islice(rest, len(part))
    ]


def read_each(
    function: Callable[[T], R], items: Sequence[T], progress: Progress | None = None
) -> list[R]:
    """Returns ``function(item)`` of each item, in order, computed in threads; 'scan' is told."""
    found: list[R] = []

    def of_part(part: Sequence[T]) -> list[R]:
        return list(map(function, part))

    # Handing over an item takes as long as decoding a tiny photo.
    size = max(1, min(_HANDED_OVER, len(items) // _PARTS))
    with closing(_in_threads(of_part, _in_parts(items, size))) as results:
        for result in results:
            found += result
            if progress:
                progress("scan", len(found), len(items))
    return found


def _in_parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def _in_threads(function: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
    threads = min(8, usable_cores())
    return ordered_map(function, items, workers=threads, ahead=64 * threads)


def _places(files: Iterable[PhotoFile]) -> list[Place]:
    """Places in the order in which they lie in a tar: a disk is fastest forwards."""
    return sorted(dict.fromkeys(file.place for file in files), key=_position)


def _position(place: Place) -> tuple[str, int]:
    # Of text, which is compared ten times as fast as a path.
    return (str(place.path), place.offset) if isinstance(place, Span) else (str(place), 0)


def _skim_part(paths: Sequence[Path]) -> list[Scanned]:
    return list(map(_skim_one, paths))


def _skim_one(path: Path) -> Scanned:
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - END_BYTES))
            end = file.read(END_BYTES)
    except OSError as error:
        return Scanned(problem=reason_of(error))
    if not size:
        return Scanned(problem=_EMPTY)
    if len(end) < min(size, END_BYTES):
        return Scanned(problem="the file has become shorter")
    return Scanned(hash_end(size, end).hex())
