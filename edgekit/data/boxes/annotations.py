"""What a data set of photos with boxes is found to be: its photos, as its files annotate them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.data.boxes.faults import Fault

#: Of a box whose class the data set does not name.
UNKNOWN = -1
#: What a number of pixels in a file is below: more is no place in a photo, but damage.
MOST_PIXELS = 1e7
#: Likewise a fraction of a photo's side: 1, and a little more where a box reaches beyond its photo.
MOST_FRACTION = 2.0

Four = tuple[float, float, float, float]


class Row(NamedTuple):
    """One box, as a file has it.

    Attributes:
        number: of the line, object or element of a list that it is.
        label: class index, or `UNKNOWN`.
        corners: top, left, bottom and right.
        is_crowd: see `edgekit.data.boxes.boxes.Boxes`.
        area: of the thing in it, in pixels; NaN where the file does not say.
    """

    number: int
    label: int
    corners: Four
    is_crowd: bool = False
    area: float = math.nan


@dataclass(frozen=True, eq=False)
class AnnotatedPhoto:
    """A photo and its boxes, before any of it was checked.

    Attributes:
        path: the photo, absolute.
        name: its printable path relative to the data set.
        numbers: int64 [k], see `Row`.
        classes: int64 [k], class indices, or `UNKNOWN`.
        corners: float64 [k, 4]: top, left, bottom and right.
        crowds: bool [k].
        areas: float64 [k], in pixels; NaN where they are not known.
        size: width and height that the file says of the photo, if it does.
        is_relative: whether corners are fractions of the photo's sides, not pixels.
    """

    path: Path
    name: str
    numbers: NDArray[np.int64]
    classes: NDArray[np.int64]
    corners: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    areas: NDArray[np.float64]
    size: tuple[int, int] | None = None
    is_relative: bool = False

    @classmethod
    def of(
        cls,
        path: Path,
        name: str,
        rows: Sequence[Row],
        size: tuple[int, int] | None = None,
        is_relative: bool = False,
    ) -> AnnotatedPhoto:
        """A photo with the boxes of these rows."""
        return cls(
            path,
            name,
            np.array([row.number for row in rows], np.int64),
            np.array([row.label for row in rows], np.int64),
            np.array([row.corners for row in rows], np.float64).reshape(-1, 4),
            np.array([row.is_crowd for row in rows], np.bool_),
            np.array([row.area for row in rows], np.float64),
            size,
            is_relative,
        )


@dataclass(frozen=True, eq=False)
class AnnotatedPart:
    """The photos of one split.

    Attributes:
        photos: those that are there and annotated, perhaps without a box.
        element: what one box is in a file, with a place for its number.
        faults: of what was left out already.
    """

    photos: tuple[AnnotatedPhoto, ...]
    element: str
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, eq=False)
class BoxLayout:
    """A data set of photos with boxes.

    Attributes:
        name: of the layout, for messages.
        parts: by role, one of `edgekit.data.split_folders.SPLITS` or ``ALL``.
        labels: names of the classes.
        source: where they are from, for messages.
        is_closed: whether a file lists the classes; without one, they are those of the boxes.
        notes: what was decided, a sentence each.
    """

    name: str
    parts: Mapping[str, AnnotatedPart]
    labels: tuple[str, ...]
    source: str
    is_closed: bool = True
    notes: tuple[str, ...] = ()

    def with_labels(self, labels: Sequence[str]) -> BoxLayout:
        """The same data set with the class indices of another, by the names of the classes.

        Boxes of a class that the other lacks become `UNKNOWN`.
        """
        if tuple(labels) == self.labels:
            return self
        index = {label: number for number, label in enumerate(labels)}
        table = np.array([index.get(label, UNKNOWN) for label in self.labels] + [UNKNOWN])
        parts = {
            role: replace(
                part,
                photos=tuple(
                    replace(photo, classes=table[photo.classes].astype(np.int64))
                    for photo in part.photos
                ),
            )
            for role, part in self.parts.items()
        }
        return replace(self, parts=parts, labels=tuple(labels))
