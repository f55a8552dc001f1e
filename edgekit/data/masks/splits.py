"""Training, validation and calibration photos with masks: from folders, or built in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekit.data.calibration_photos import choose_calibration, listing_of
from edgekit.data.class_names import check_names, some_names
from edgekit.data.masks import shapes
from edgekit.data.masks.find import match_layout
from edgekit.data.masks.layouts import Classes
from edgekit.data.masks.scan import ScannedPair, ScannedPairs, scan_pairs
from edgekit.data.masks.sources import ChosenPairs, choose_pairs, classes_of, form_of
from edgekit.data.photo_files import HashedPhotos, Listing, Place, Source, printable
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


def load_masked_splits(wanted: Wanted) -> Splits:
    """Finds, reads and divides the photos and their masks; every file is decoded once.

    The rules are those of `edgekit.data.splits.load_splits`, but that labels are masks: pairs of a
    photo and a mask of the same name, in a folder of a layout that `find_layout` knows.

    Args:
        wanted: `val` is a data set of the same classes; `calibration` is one, or a folder of
            photos without masks.

    Raises:
        UsageError: the photos or masks cannot be used; the message says which and why.
    """
    if wanted.data is None:
        find_sources(None, wanted.val, wanted.calibration)  # which refuses them
        return _builtin(wanted)
    chosen = choose_pairs(wanted.data, wanted.val, wanted.progress)
    classes = classes_of(chosen)
    scanned = {
        option: scan_pairs(one.pairs, form_of(one, classes), one.option, wanted.progress)
        for option, one in chosen.items()
    }
    labels, notes = _labels(classes, chosen, scanned)
    warnings = [line for one in chosen.values() for line in one.notes] + notes
    warnings += [line for one in scanned.values() for line in one.warnings]
    train: HashedPhotos = scanned[DATA].photos(form_of(chosen[DATA], classes))
    if VAL in chosen:
        val: HashedPhotos = scanned[VAL].photos(form_of(chosen[VAL], classes))
    else:
        train, val = split_validation(train, VAL_FRACTION)
    train, notes = remove_overlap(train, val)
    warnings += notes
    check_training(len(train))
    found: dict[Place, ScannedPair] = {
        one.pair.photo: one for part in scanned.values() for one in part.usable
    }
    warnings += _missing_classes(train, val, labels, found)
    calibration, notes = choose_calibration(wanted, train, val, _list_calibration)
    warnings += [*notes, *check_calibration(len(calibration))]
    return Splits(
        train=train,
        val=val,
        calibration=calibration,
        labels=labels,
        source=printable(
            ", ".join(f"{option} {one.root} ({one.layout.name})" for option, one in chosen.items())
        ),
        builtin=False,
        unreadable=tuple(bad for part in scanned.values() for bad in part.unreadable),
        warnings=tuple(map(printable, warnings)),
    )


def fingerprint_masked(wanted: Wanted) -> str:
    """Returns a cheap key of all that `load_masked_splits` would read, in hex; nothing is decoded.

    It covers names, sizes and modification times of photos and masks, and the classes; not the
    other fields of ``wanted``.

    Raises:
        UsageError: as `load_masked_splits`, where a folder is missing or holds no masks.
    """
    digest = hashlib.sha256(f"masks {_VERSION} {shapes.VERSION}\n".encode())
    if wanted.data is None:
        find_sources(None, wanted.val, wanted.calibration)  # which refuses them
        return digest.hexdigest()
    for option, one in choose_pairs(wanted.data, wanted.val, wanted.progress).items():
        digest.update(printable(f"{option} {one.root} {one.layout.classes}\n").encode())
        for pair in one.pairs.pairs:
            state = f"{pair.name} {state_of(pair.photo)} {state_of(pair.mask)}\n"
            digest.update(state.encode())
    if wanted.calibration is not None:
        for file in _list_calibration(wanted.calibration).files:
            digest.update(printable(f"{file.path} {state_of(file.path)}\n").encode())
    return digest.hexdigest()


def _builtin(wanted: Wanted) -> Splits:
    train = shapes.MaskedShapes(shapes.TRAIN_COUNT, wanted.seed, "train", wanted.builtin_resolution)
    chosen = spread(train.names, train.labels, wanted.calibration_count, wanted.seed)
    calibration = train.subset(chosen)
    return Splits(
        train=train,
        val=shapes.MaskedShapes(shapes.VAL_COUNT, wanted.seed, "val", wanted.builtin_resolution),
        calibration=calibration,
        labels=shapes.LABELS,
        source=f"built-in shapes with masks (seed {wanted.seed})",
        builtin=True,
        warnings=tuple(check_calibration(len(calibration))),
    )


def _labels(
    classes: Classes, chosen: Mapping[str, ChosenPairs], scanned: Mapping[str, ScannedPairs]
) -> tuple[tuple[str, ...], list[str]]:
    """The names of the classes, and what is said of them.

    Raises:
        UsageError: a mask has a class that has no name, or there is one class only.
    """
    pairs = [one for part in scanned.values() for one in part.usable]
    highest = max(pairs, key=lambda one: max(one.classes))
    count = len(classes.labels) or max(highest.classes) + 1
    if count < 2:
        raise UsageError(
            f"--data {chosen[DATA].root} has one class only",
            hint="segmentation needs at least two; the background may be one",
        )
    if max(highest.classes) >= count:
        raise UsageError(
            f"the mask {highest.pair.mask} has the value {max(highest.classes)}",
            cause=f"{classes.source} names {count} classes: values are 0 to {count - 1}, and 255 "
            "for none",
            hint="name the class, or write 255 where a pixel is of none",
        )
    if classes.labels:
        return check_names(classes.labels, classes.source), []
    labels = tuple(f"class{index}" for index in range(count))
    return labels, [
        f"no file names the classes: they are class0 to class{count - 1}, after the highest value "
        "in the masks; a classes.txt with a name a line names them"
    ]


def _missing_classes(
    train: HashedPhotos,
    val: HashedPhotos,
    labels: Sequence[str],
    found: Mapping[Place, ScannedPair],
) -> Iterator[str]:
    for what, photos in (("training", train), ("validation", val)):
        present = frozenset().union(*(found[place].classes for place in photos.places))
        missing = [label for index, label in enumerate(labels) if index not in present]
        if missing:
            yield (
                f"{len(missing)} of the {len(labels)} classes are in no {what} photo: "
                f"{some_names(missing)}"
            )


def _list_calibration(source: Source) -> Listing:
    """The photos of a data set with masks, or of any other; masks are not needed."""
    root = Path(os.path.abspath(source))
    try:
        layout = match_layout(root) if root.is_dir() else None
    except OSError as error:
        raise UsageError(f"{CALIBRATION} {source} cannot be read", cause=str(error)) from error
    role = first_role((TRAIN, ALL, VALIDATION, TEST), layout.parts) if layout is not None else None
    if layout is None or role is None:
        return list_source(source, CALIBRATION, classes=False)
    return listing_of(layout.parts[role].photos.values(), root)
