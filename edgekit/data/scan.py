"""Reading every file of a data set once, in threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgekit.data.folders import PhotoFile, Place, Progress, Span, reason_of
from edgekit.data.images import UnreadableImageError, check
from edgekit.system.threads import ordered_map

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Scanned:
    """What reading a file once gave: the SHA-256 of a photo in hex, or what is wrong with it."""

    sha256: str = ""
    problem: str = ""


def scan(files: Iterable[PhotoFile], progress: Progress | None = None) -> dict[Place, Scanned]:
    """Reads and decodes each photo once, in threads.

    Returns:
        For each place what was found.
    """
    # In the order in which they lie in a tar: a disk is fastest forwards.
    places = [file.place for file in sorted(files, key=_position)]
    places = list(dict.fromkeys(places))
    return dict(zip(places, read_each(_scan_one, places, progress), strict=True))


def read_each(
    function: Callable[[T], R], items: Sequence[T], progress: Progress | None = None
) -> list[R]:
    """Returns ``function(item)`` of each item, in order, computed in threads; 'scan' is told."""
    threads = min(8, os.cpu_count() or 1)
    found: list[R] = []
    with closing(ordered_map(function, items, workers=threads, ahead=64 * threads)) as results:
        for result in results:
            found.append(result)
            if progress:
                progress("scan", len(found), len(items))
    return found


def _position(file: PhotoFile) -> tuple[Path, int]:
    return file.path, file.place.offset if isinstance(file.place, Span) else 0


def _scan_one(place: Place) -> Scanned:
    try:
        data = place.read_bytes()
        check(data)
    except (OSError, UnreadableImageError) as error:
        return Scanned(problem=reason_of(error))
    return Scanned(sha256=hashlib.sha256(data).hexdigest())
