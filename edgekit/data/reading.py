"""Reading a photo once: its hash, and whether it can be decoded; and the process that does so.

`edgekit.data.scan` asks it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.data.images import UnreadableImageError, check
from edgekit.data.photo_files import Place, Span, reason_of
from edgekit.system.workers import answer_requests


class Scanned(NamedTuple):
    """What reading a file once gave.

    Attributes:
        sha256: in hex, of its contents, or of its size and end where it was not read in full.
        problem: what is wrong with it.
    """

    sha256: str = ""
    problem: str = ""


def read(place: Place) -> Scanned:
    """Reads and decodes a photo."""
    try:
        data = place.read_bytes()
        check(data)
    except (OSError, UnreadableImageError) as error:
        return Scanned(problem=reason_of(error))
    return Scanned(sha256=hashlib.sha256(data).hexdigest())


def request(places: Sequence[Place]) -> list[Any]:
    """What the process is asked for, JSON: these photos to be read."""
    return [
        [str(place.path), place.offset, place.size] if isinstance(place, Span) else [str(place)]
        for place in places
    ]


def answered(answer: bytes) -> list[Scanned]:
    """What it found, in the order of the places."""
    return [Scanned(*found) for found in json.loads(answer)]


def _answer(asked: list[Any]) -> bytes:
    places = [Span(Path(path), *span) if span else Path(path) for path, *span in asked]
    return json.dumps([read(place) for place in places]).encode()


if __name__ == "__main__":
    answer_requests(_answer)
