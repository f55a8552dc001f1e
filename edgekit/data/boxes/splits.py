"""Training, validation and calibration photos with boxes: from a data set, or built in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgekit.data.boxes import shapes
from edgekit.data.boxes.find import match_box_layout
from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.boxes.scan import scan_boxes
from edgekit.data.boxes.sources import choose_boxes
from edgekit.data.calibration_photos import choose_calibration, listing_of
from edgekit.data.class_names import some_names
from edgekit.data.photo_files import Listing, Source, printable
from edgekit.data.selection import remove_overlap, split_validation, spread
from edgekit.data.sources import CALIBRATION, DATA, VAL, find_sources, list_source
from edgekit.data.split_folders import ALL, TEST, TRAIN, first_role
from edgekit.data.split_folders import VAL as VALIDATION
from edgekit.data.splits import (
    VAL_FRACTION,
    Splits,
    Wanted,
    check_calibration,
    check_training,
    state_of,
)
from edgekit.errors import UsageError

_VERSION = 1  # of the rules below: another number makes every cached split stale


def load_box_splits(wanted: Wanted) -> Splits:
    """Finds, reads and divides the photos and their boxes; every photo is decoded once.

    The rules are those of `edgekit.data.splits.load_splits`, but that labels are boxes, of a
    folder or file that `edgekit.data.boxes.find.find_box_layout` knows.

    Args:
        wanted: `val` is a data set of the same classes; `calibration` is one, or a folder of
            photos without boxes.

    Raises:
        UsageError: the photos or boxes cannot be used; the message says which and why.
    """
    if wanted.data is None:
        _refuse_others(wanted)
        return _builtin(wanted)
    chosen = choose_boxes(wanted.data, wanted)
    scanned = {
        option: scan_boxes(one.part, one.given, wanted.progress) for option, one in chosen.items()
    }
    labels = chosen[DATA].layout.labels
    warnings = [line for one in chosen.values() for line in one.notes]
    warnings += [line for one in scanned.values() for line in one.warnings]
    photos = scanned[DATA].photos
    if VAL in scanned:
        train, val = photos, scanned[VAL].photos
    else:
        train, val = split_validation(photos, VAL_FRACTION)
    train, notes = remove_overlap(train, val)
    warnings += notes
    check_training(len(train))
    warnings += _missing_classes("training", train, labels)
    warnings += _missing_classes("validation", val, labels)
    calibration, notes = choose_calibration(wanted, train, val, _list_calibration)
    warnings += [*notes, *check_calibration(len(calibration))]
    named = dict.fromkeys(f"{one.given} ({one.layout.name})" for one in chosen.values())
    return Splits(
        train=train,
        val=val,
        calibration=calibration,
        labels=labels,
        source=printable(", ".join(named)),
        builtin=False,
        unreadable=tuple(bad for part in scanned.values() for bad in part.unreadable),
        warnings=tuple(map(printable, warnings)),
    )


def fingerprint_boxes(wanted: Wanted) -> str:
    """Returns a cheap key of all that `load_box_splits` would read, in hex; no photo is decoded.

    It covers names, sizes and modification times of photos, and what is annotated; not the other
    fields of ``wanted``.

    Raises:
        UsageError: as `load_box_splits`, where a folder is missing or annotations are broken.
    """
    digest = hashlib.sha256(f"boxes {_VERSION} {shapes.VERSION}\n".encode())
    if wanted.data is None:
        _refuse_others(wanted)
        return digest.hexdigest()
    for option, one in choose_boxes(wanted.data, wanted).items():
        told = (one.given, one.layout.labels, one.notes, one.part.faults)
        digest.update(printable(f"{option} {told}\n").encode())
        for photo in one.part.photos:
            line = f"{photo.path} {state_of(photo.path)} {photo.size} {photo.is_relative}\n"
            digest.update(printable(line).encode())
            for values in (photo.classes, photo.corners, photo.crowds, photo.areas):
                digest.update(values.tobytes())
    if wanted.calibration is not None:
        for file in _list_calibration(wanted.calibration).files:
            digest.update(printable(f"{file.path} {state_of(file.path)}\n").encode())
    return digest.hexdigest()


def _refuse_others(wanted: Wanted) -> None:
    """Raises UsageError where there is something for photos that are not there."""
    find_sources(None, wanted.val, wanted.calibration)
    if wanted.photos is not None:
        raise UsageError(
            f"--photos {wanted.photos} was given without --data",
            hint="give the file of their annotations to --data",
        )


def _builtin(wanted: Wanted) -> Splits:
    side = wanted.builtin_resolution
    train = shapes.BoxedShapes(shapes.TRAIN_COUNT, wanted.seed, "train", side)
    chosen = spread(train.names, train.labels, wanted.calibration_count, wanted.seed)
    calibration = train.subset(chosen)
    return Splits(
        train=train,
        val=shapes.BoxedShapes(shapes.VAL_COUNT, wanted.seed, "val", side),
        calibration=calibration,
        labels=shapes.LABELS,
        source=f"built-in shapes with boxes (seed {wanted.seed})",
        builtin=True,
        warnings=tuple(check_calibration(len(calibration))),
    )


def _missing_classes(what: str, photos: BoxedPhotos, labels: Sequence[str]) -> Iterator[str]:
    """Yields a warning for classes without a box.

    Raises:
        UsageError: there is no box at all.
    """
    counts = np.zeros(len(labels), np.int64)
    for boxes in photos.boxes:
        counts += np.bincount(boxes.classes[~boxes.crowds], minlength=len(labels))
    if not counts.any():
        raise UsageError(
            f"no {what} photo has a box to be found",
            hint="give a data set with more photos, or another --val",
        )
    if missing := [label for label, count in zip(labels, counts, strict=True) if not count]:
        yield (
            f"{len(missing)} of the {len(labels)} classes are in no {what} photo: "
            f"{some_names(missing)}"
        )


def _list_calibration(source: Source) -> Listing:
    """The photos of a data set with boxes, or of any other; boxes are not needed."""
    root = Path(os.path.abspath(source))
    try:
        layout = match_box_layout(root) if root.exists() else None
    except OSError as error:
        raise UsageError(f"{CALIBRATION} {source} cannot be read", cause=str(error)) from error
    role = first_role((TRAIN, ALL, VALIDATION, TEST), layout.parts) if layout is not None else None
    if layout is None or role is None:
        return list_source(source, CALIBRATION, classes=False)
    folder = root if root.is_dir() else root.parent
    return listing_of([photo.path for photo in layout.parts[role].photos], folder)
