"""Reads each photo with boxes once, and says what of it can be used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgekit.data.boxes.annotations import AnnotatedPart, AnnotatedPhoto
from edgekit.data.boxes.boxes import Boxes
from edgekit.data.boxes.check import check_boxes
from edgekit.data.boxes.faults import Fault, some, tell_faults
from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.boxes.targets import MOST
from edgekit.data.images import UnreadableImageError, check
from edgekit.data.photo_files import Progress, reason_of
from edgekit.data.scan import read_each
from edgekit.errors import UsageError

#: Of photos that cannot be read, or whose boxes are not of them.
BAD_LIMIT = 0.05


@dataclass(frozen=True, eq=False)
class ScannedPhoto:
    """What reading a photo once gave.

    Attributes:
        photo: with its boxes as a file has them.
        sha256: of the photo, in hex.
        size: width and height, upright.
        boxes: in its pixels; None where it cannot be used.
        faults: of its boxes.
        problem: why it cannot be used.
        is_ambiguous: see `edgekit.data.boxes.check.Checked`.
    """

    photo: AnnotatedPhoto
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    boxes: Boxes | None = None
    faults: tuple[Fault, ...] = ()
    problem: str = ""
    is_ambiguous: bool = False


@dataclass(frozen=True, eq=False)
class ScannedPart:
    """The photos of a split that can be used, and the others.

    Attributes:
        photos: with their boxes.
        unreadable: (name, reason) of those that cannot be used.
        warnings: what was left out and decided, a sentence each.
    """

    photos: BoxedPhotos
    unreadable: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def scan_boxes(part: AnnotatedPart, option: str, progress: Progress | None = None) -> ScannedPart:
    """Reads and decodes each photo once, in threads, and checks its boxes.

    Args:
        part: the photos.
        option: how the user named the data set, and the data set, for messages.
        progress: called with ('scan', done, total).

    Raises:
        UsageError: too many photos cannot be used, or none has a box.
    """
    found = read_each(partial(_scan_photo, element=part.element), part.photos, progress)
    bad = [(one.photo.name, one.problem) for one in found if one.problem]
    named = some([f"{name}: {problem}" for name, problem in bad])
    if len(bad) > BAD_LIMIT * len(found):
        raise UsageError(
            f"{len(bad)} of the {len(found)} photos with boxes of {option} cannot be used, more "
            f"than {BAD_LIMIT:.0%}",
            cause=named,
            hint="repair or remove them, or the boxes that are not theirs",
        )
    usable, copies = _without_copies([one for one in found if not one.problem])
    faults = [*part.faults, *(fault for one in usable for fault in one.faults), *copies]
    faults += [
        Fault("many", f"{one.photo.name} has {len(one.boxes)}")
        for one in usable
        if one.boxes is not None and len(one.boxes) > MOST
    ]
    warnings = list(tell_faults(faults))
    if bad:
        warnings.append(f"{len(bad)} photos with boxes cannot be used and are left out: {named}")
    photos = _photo_set(usable)
    warnings += _told_of(photos, sum(one.is_ambiguous for one in usable))
    if not any(map(len, photos.boxes)):
        raise UsageError(
            f"no photo of {option} has a box",
            cause="; ".join(warnings) or "its files have none",
            hint="check that the files of annotations are those of these photos",
        )
    return ScannedPart(photos, tuple(bad), tuple(warnings))


def _scan_photo(photo: AnnotatedPhoto, element: str) -> ScannedPhoto:
    try:
        data = photo.path.read_bytes()
        stored = check(data)
    except (OSError, UnreadableImageError) as error:
        return ScannedPhoto(photo, problem=reason_of(error))
    checked = check_boxes(photo, stored, element)
    return ScannedPhoto(
        photo,
        hashlib.sha256(data).hexdigest(),
        stored.upright,
        checked.boxes,
        checked.faults,
        checked.problem,
        checked.is_ambiguous,
    )


def _without_copies(found: Sequence[ScannedPhoto]) -> tuple[list[ScannedPhoto], list[Fault]]:
    """The photos but for those whose bytes another one has: the one with most boxes is kept."""
    kept: dict[str, ScannedPhoto] = {}
    for one in found:
        first = kept.setdefault(one.sha256, one)
        if len(one.boxes or ()) > len(first.boxes or ()):
            kept[one.sha256] = one
    usable = [one for one in found if kept[one.sha256] is one]
    copies = [
        Fault("copy", f"{one.photo.name} of {kept[one.sha256].photo.name}")
        for one in found
        if kept[one.sha256] is not one
    ]
    return usable, copies


def _photo_set(usable: Sequence[ScannedPhoto]) -> BoxedPhotos:
    return BoxedPhotos(
        places=tuple(one.photo.path for one in usable),
        names=tuple(one.photo.name for one in usable),
        labels=np.full(len(usable), -1, np.int64),
        hashes=tuple(one.sha256 for one in usable),
        boxes=tuple(one.boxes for one in usable if one.boxes is not None),
        sizes=tuple(one.size for one in usable),
    )


def _told_of(photos: BoxedPhotos, turned: int) -> Iterator[str]:
    """Yields what else is said of photos that can be used."""
    if empty := sum(not len(boxes) for boxes in photos.boxes):
        yield f"{empty} of {len(photos)} photos have no box: nothing is to be found in them"
    if turned:
        yield (
            f"{turned} photos are stored turned, and no size says whether their boxes are, too: "
            "these are taken to be of the photos as people see them"
        )
    if crowds := sum(int(boxes.crowds.sum()) for boxes in photos.boxes):
        yield (
            f"{crowds} boxes are of crowds or difficult: they are not learned, and count neither "
            "for nor against what is found in them"
        )
