"""What is wrong with single boxes and photos of a data set: counted and named, not fatal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

#: How many of a kind are named.
SHOWN = 3

#: By kind of a fault: what is said of it.
SENTENCES = {
    "missing": "{} photos are annotated and missing; they are left out",
    "listed": "{} photos are listed more than once, and their boxes taken together",
    "unannotated": "{} photos have no annotation and are left out",
    "unlisted": "{} boxes are of photos that the file does not list, and are left out",
    "unknown": "{} boxes are of a class that the data set does not name, and are left out",
    "empty": "{} boxes have no area and are left out",
    "nowhere": "{} boxes are outside of their photos and are left out",
    "outside": "{} boxes reach beyond their photos, and are cut off there",
    "twice": "{} boxes are there twice, of one class and place, and are left out once",
    "copy": "{} photos are copies of others, byte for byte, and are left out",
    "many": "{} photos have more boxes than are learned from at a time",
}


class Fault(NamedTuple):
    """Something about one box or photo.

    Attributes:
        kind: one of `SENTENCES`.
        where: which box or photo.
    """

    kind: str
    where: str


def tell_faults(faults: Iterable[Fault]) -> Iterator[str]:
    """Yields a sentence for each kind, in the order of `SENTENCES`."""
    found: dict[str, list[str]] = defaultdict(list)
    for fault in faults:
        found[fault.kind].append(fault.where)
    for kind, sentence in SENTENCES.items():
        if kind in found:
            yield f"{sentence.format(len(found[kind]))}: {some(found[kind])}"


def some(named: list[str]) -> str:
    """Returns the first few of what is named."""
    return "; ".join(named[:SHOWN]) + ("; …" if len(named) > SHOWN else "")
