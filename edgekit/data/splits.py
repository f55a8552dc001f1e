"""Training, validation and calibration photos: from folders, lists, shards, or built in."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data import synthetic
from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.boxes.shapes import BoxedShapes
from edgekit.data.class_names import clean_labels
from edgekit.data.folders import list_photos
from edgekit.data.hub.fetch import local_source
from edgekit.data.image_set import ConcatenatedPhotos, PhotoSet
from edgekit.data.masks.photos import MaskedPhotos
from edgekit.data.masks.shapes import MaskedShapes
from edgekit.data.photo_files import (
    FilePhotos,
    HashedPhotos,
    Listing,
    Progress,
    Source,
    printable,
)
from edgekit.data.scan import CHECK_UP_TO, check_all, read_listings
from edgekit.data.selection import remove_overlap, split_validation, spread, without
from edgekit.data.shards.listing import find_shards
from edgekit.data.shards.photos import ShardPhotos
from edgekit.data.sources import CALIBRATION, DATA, VAL, Chosen, find_sources, list_source
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

VAL_FRACTION = 0.2
MIN_TRAIN = 10
MIN_CALIBRATION = 10
ADVISED_CALIBRATION = 100

_VERSION = 1  # of the rules below: another number makes every cached split stale


@dataclass(frozen=True)
class Wanted:
    """What a run asks for; see `load_splits`.

    Attributes:
        data: the training images; None for the built-in ones.
        val: the validation images.
        calibration: the calibration images.
        calibration_count: how many training images calibrate where there are no others.
        seed: of everything random.
        builtin_resolution: height and width of the built-in images, in pixels.
        progress: called with what is done, how many are, and how many there are.
        photos: the folder of the photos, where ``data`` is a file of their annotations.
    """

    data: Source | None = None
    val: Source | None = None
    calibration: Source | None = None
    calibration_count: int = 256
    seed: int = 0
    builtin_resolution: int = 64
    progress: Progress | None = None
    photos: Source | None = None


@dataclass(frozen=True)
class Splits:
    """The three sets of a run, and what there is to say about them.

    Attributes:
        train: what the network learns from.
        val: what accuracy is measured on.
        calibration: what activation ranges are read from; never validation photos.
        labels: class names in the order of the class index.
        source: where the photos are from, in words, for the report.
        builtin: whether this is the built-in dataset.
        unreadable: (name, reason) of every photo that was skipped.
        warnings: what the user should know, a sentence each.
    """

    train: PhotoSet
    val: PhotoSet
    calibration: PhotoSet
    labels: tuple[str, ...]
    source: str
    builtin: bool
    unreadable: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values from which `from_dict` makes equal splits without a scan."""
        record: dict[str, Any] = {field.name: getattr(self, field.name) for field in _FIELDS}
        sets = {name: record[name].to_dict() for name in ("train", "val", "calibration")}
        return record | sets | {"schema_version": _VERSION}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Splits:
        """Reads what `to_dict` wrote.

        Raises:
            UsageError: the record is not one, or is damaged.
        """
        try:
            if record["schema_version"] != _VERSION:
                raise ValueError(f"schema_version {record['schema_version']} is not {_VERSION}")
            return cls(
                train=photos_from_dict(record["train"]),
                val=photos_from_dict(record["val"]),
                calibration=photos_from_dict(record["calibration"]),
                labels=tuple(record["labels"]),
                source=record["source"],
                builtin=record["builtin"],
                unreadable=tuple((name, reason) for name, reason in record["unreadable"]),
                warnings=tuple(record["warnings"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                "the record of the data splits cannot be read", cause=str(error)
            ) from error


_FIELDS = dataclasses.fields(Splits)
_READERS: dict[str, Callable[[Mapping[str, Any]], PhotoSet]] = {
    "files": FilePhotos.from_dict,
    "shards": ShardPhotos.from_dict,
    "shapes": synthetic.SyntheticPhotos.from_dict,
    "masked": MaskedPhotos.from_dict,
    "masked shapes": MaskedShapes.from_dict,
    "boxed": BoxedPhotos.from_dict,
    "boxed shapes": BoxedShapes.from_dict,
    "joined": lambda record: ConcatenatedPhotos.from_dict(record, photos_from_dict),
}


def photos_from_dict(record: Mapping[str, Any]) -> PhotoSet:
    """Reads what a set's `to_dict` wrote.

    Raises:
        KeyError, TypeError or ValueError: it is no such record.
    """
    return _READERS[record["kind"]](record)


def load_splits(
    data: Source | None,
    val: Source | None,
    calibration: Source | None,
    *,
    calibration_count: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
    spool: StrPath | None = None,
    check_up_to: int = CHECK_UP_TO,
) -> Splits:
    """Finds, reads and divides the photos; every file is decoded once.

    Of more training photos than ``check_up_to``, those that are not for calibration are known by
    their size and end, and what of them cannot be decoded is found as training comes to it.

    Args:
        data: the training photos: a folder of class folders, a text file of paths (see
            `edgekit.data.folders.list_photos`), or shards (see
            `edgekit.data.shards.listing.find_shards`). None stands for the built-in dataset.
        val: the validation photos, likewise; what they share with ``data`` is taken out of the
            training set. None takes a fifth of each class of ``data``, by the hash of the name, so
            that added photos move few others.
        calibration: likewise, or a folder of photos without classes; all of them are used. None
            takes ``calibration_count`` training photos, spread over the classes.
        calibration_count: how many training photos calibrate when ``calibration`` is None.
        seed: chooses the calibration photos, and draws the built-in dataset.
        progress: called with ('scan', done, total) as files are read.
        spool: the folder for what commands of shards print; None is the user's cache folder.
        check_up_to: of how many training photos all are decoded.

    Raises:
        UsageError: the photos cannot be used; the message says which and why.
    """
    sources = find_sources(data, val, calibration, progress)
    if not sources:
        return builtin_splits(calibration_count, seed)
    listings = {
        option: _list_chosen(source, option, spool, progress) for option, source in sources.items()
    }
    every = len(listings[DATA].files) <= check_up_to
    usable = read_listings(listings, progress, in_full=every)
    labels = listings[DATA].classes()
    _check_several(labels, data)
    warnings = [line for given in (sources, listings) for line in _said_of(given)]
    unreadable = [bad for one in usable.values() for bad in one.unreadable]
    train = usable[DATA].photo_set(labels)
    if VAL in usable:
        _check_classes(usable[VAL].listing, labels, sources[VAL].given)
        val_set = usable[VAL].photo_set(labels)
    else:
        train, val_set = split_validation(train, VAL_FRACTION)
    val_set, bad = check_all(val_set, VAL, progress)
    unreadable += bad
    train, notes = remove_overlap(train, val_set)
    check_training(len(train))
    warnings += [*notes, *_missing_classes(train, val_set, len(labels))]
    chosen = train
    if CALIBRATION in usable:
        chosen = usable[CALIBRATION].photo_set(labels)
    count, chosen = len(chosen), without(chosen, val_set.hashes)
    if CALIBRATION in usable:
        warnings += _shared(count - len(chosen))
    else:
        chosen = chosen.subset(spread(chosen.names, chosen.labels, calibration_count, seed))
    chosen, bad = check_all(chosen, CALIBRATION, progress)
    unreadable += bad
    warnings += check_calibration(len(chosen))
    return Splits(
        train=train,
        val=val_set,
        calibration=chosen,
        labels=labels,
        source=_say_sources(sources, listings),
        builtin=False,
        unreadable=tuple(dict(unreadable).items()),
        warnings=tuple(map(printable, warnings)),
    )


def _list_chosen(
    source: Chosen, option: str, spool: StrPath | None, progress: Progress | None
) -> Listing:
    return list_source(
        source.given,
        option,
        also_in=source.also_in,
        classes=option != CALIBRATION,
        spool=spool,
        progress=progress,
    )


def _said_of(given: Mapping[str, Chosen] | Mapping[str, Listing]) -> Iterator[str]:
    for one in given.values():
        yield from one.notes if isinstance(one, Chosen) else one.warnings


def _shared(count: int) -> Iterator[str]:
    if count:
        yield f"{count} calibration photos are validation photos and are left out"


def _say_sources(sources: Mapping[str, Chosen], listings: Mapping[str, Listing]) -> str:
    """Where the photos are from, in words."""
    pairs = ((option, sources[option].named or one.source) for option, one in listings.items())
    return printable(", ".join(f"{option} {source}" for option, source in pairs))


def fingerprint(
    data: Source | None,
    val: Source | None,
    calibration: Source | None,
    *,
    classes: bool = True,
    spool: StrPath | None = None,
    progress: Progress | None = None,
) -> str:
    """Returns a cheap key of all that `load_splits` would read, in hex; nothing is decoded.

    It covers names, sizes and modification times of the photos or shards, and the contents of
    lists; not the other arguments of `load_splits`. What commands print is spooled first. Without
    ``classes``, photos that are in no class folder count as well.

    Raises:
        UsageError: as `load_splits`, where a folder, list or shard is missing or holds no photo.
    """
    digest = hashlib.sha256(f"{_VERSION} {synthetic.VERSION}\n".encode())
    if classes:
        sources = find_sources(data, val, calibration, progress)
    else:
        sources = {DATA: Chosen(local_source(data, DATA))} if data is not None else {}
    for option, source in sources.items():
        shards = find_shards(source.given, option, spool, progress)
        if shards is not None:
            digest.update(f"{option} shards\n".encode())
            for path in shards:
                digest.update(printable(f"{path}\0{state_of(path)}\n").encode())
            continue
        wanted = classes and option != CALIBRATION
        given = Path(source.given)
        listing = list_photos(given, option, also_in=source.also_in, classes=wanted)
        if wanted:  # a stage that was finished before labels were checked is not taken
            clean_labels(listing, option)
        digest.update(printable(f"{option} {listing.source}\n").encode())
        for file in listing.files:
            line = f"{file.path}\0{file.label}\0{state_of(file.path)}\n"
            digest.update(printable(line).encode())
    return digest.hexdigest()


def state_of(path: StrPath) -> str:
    """Returns size and modification time of a file, as text."""
    try:
        stat = Path(path).stat()
    except OSError:
        return "unreadable"
    return f"{stat.st_size} {stat.st_mtime_ns}"


def builtin_splits(calibration_count: int, seed: int, resolution: int = 64) -> Splits:
    """Draws the built-in dataset, of photos of ``resolution`` pixels a side."""
    train = synthetic.SyntheticPhotos(synthetic.TRAIN_COUNT, seed, "train", resolution)
    calibration = train.subset(spread(train.names, train.labels, calibration_count, seed))
    return Splits(
        train=train,
        val=synthetic.SyntheticPhotos(synthetic.VAL_COUNT, seed, "val", resolution),
        calibration=calibration,
        labels=synthetic.LABELS,
        source=f"built-in shapes (seed {seed})",
        builtin=True,
        warnings=tuple(check_calibration(len(calibration))),
    )


def _check_several(labels: Sequence[str], source: Source | None) -> None:
    if len(labels) < 2:
        raise UsageError(
            f"--data {source} has one class only ('{labels[0]}')",
            hint="a classifier needs at least two class folders",
        )


def check_training(count: int) -> None:
    """Raises UsageError where there are too few photos to train on."""
    if count < MIN_TRAIN:
        raise UsageError(
            f"the training set has {count} photos only",
            hint=f"give at least {MIN_TRAIN}, outside of the validation set",
        )


def _check_classes(val: Listing, labels: Sequence[str], source: Source) -> None:
    unknown = sorted(val.label_counts().keys() - set(labels))
    if unknown:
        raise UsageError(
            f"--val has {len(unknown)} classes that --data has not: {', '.join(unknown[:5])}, in "
            f"{source}",
            cause=f"--data has {len(labels)}: {', '.join(labels[:5])}"
            + (", …" if len(labels) > 5 else ""),
            hint="name the class folders of both alike",
        )


def _missing_classes(train: HashedPhotos, val: HashedPhotos, count: int) -> Iterator[str]:
    for what, photos in (("training", train), ("validation", val)):
        missing = count - len(np.unique(photos.labels))
        if missing:
            yield f"{missing} of the {count} classes have no {what} photo"


def check_calibration(count: int) -> Iterator[str]:
    """Yields a warning for few calibration photos.

    Raises:
        UsageError: there are too few to read activation ranges from.
    """
    if count < MIN_CALIBRATION:
        raise UsageError(
            f"{count} calibration photos are too few",
            cause="activation ranges are read from training photos outside of the validation set, "
            f"or from those of --calibration, and need at least {MIN_CALIBRATION}",
            hint=f"use {ADVISED_CALIBRATION} or more",
        )
    if count < ADVISED_CALIBRATION:
        yield (
            f"{count} calibration photos are few: activation ranges are steadier with "
            f"{ADVISED_CALIBRATION} or more"
        )
