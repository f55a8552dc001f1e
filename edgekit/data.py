"""Training, validation and calibration photos: from folders, lists, or the built-in dataset."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit import synthetic
from edgekit.errors import UsageError
from edgekit.photos import (
    FilePhotos,
    Listing,
    PhotoFile,
    Progress,
    Scanned,
    list_photos,
    printable,
    scan,
)
from edgekit.selection import remove_overlap, split_validation, spread

VAL_FRACTION = 0.2
UNREADABLE_LIMIT = 0.05
MIN_TRAIN = 10
MIN_CALIBRATION = 10
ADVISED_CALIBRATION = 100

_VERSION = 1  # of the rules below: another number makes every cached split stale


class PhotoSet(Protocol):
    """Labelled photos by index: what every stage takes.

    Attributes:
        names: stable, printable identifiers (relative posix paths, or synthetic ids).
        labels: int64 [n], the class index, -1 where it is not known.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def labels(self) -> npt.NDArray[np.int64]: ...
    def __len__(self) -> int: ...
    def load(self, index: int) -> Image.Image:
        """Returns one photo: mode RGB, upright, fully decoded."""

    def digest(self) -> str:
        """Returns a SHA-256 over names, labels and contents, in hex."""

    def subset(self, indices: Sequence[int]) -> PhotoSet:
        """Returns the photos at these indices, in this order."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values from which the set can be made again without a scan."""


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
                train=_photos_from_dict(record["train"]),
                val=_photos_from_dict(record["val"]),
                calibration=_photos_from_dict(record["calibration"]),
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
    "shapes": synthetic.SyntheticPhotos.from_dict,
}


def _photos_from_dict(record: Mapping[str, Any]) -> PhotoSet:
    return _READERS[record["kind"]](record)


def load_splits(
    data: Path | None,
    val: Path | None,
    calibration: Path | None,
    *,
    calibration_count: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
    builtin_resolution: int = 64,
) -> Splits:
    """Finds, reads and divides the photos; every file is decoded once.

    Args:
        data: the training photos: a folder of class folders, or a text file of paths (see
            `edgekit.photos.list_photos`). None stands for the built-in dataset.
        val: the validation photos, likewise; what they share with ``data`` is taken out of the
            training set. None takes a fifth of each class of ``data``, by the hash of the name, so
            that added photos move few others.
        calibration: likewise, or a folder of photos without classes; all of them are used. None
            takes ``calibration_count`` training photos, spread over the classes.
        calibration_count: how many training photos calibrate when ``calibration`` is None.
        seed: chooses the calibration photos, and draws the built-in dataset.
        progress: called with ('scan', done, total) as files are read.
        builtin_resolution: height and width of the photos of the built-in dataset, in pixels.

    Raises:
        UsageError: the photos cannot be used; the message says which and why.
    """
    listings = _listings(data, val, calibration)
    if not listings:
        return _builtin(calibration_count, seed, builtin_resolution)
    scanned = scan([file for entry in listings.values() for file in entry.files], progress)
    readable = {option: _readable(option, entry, scanned) for option, entry in listings.items()}

    labels = tuple(sorted({file.label for file in listings["--data"].files}))
    if len(labels) < 2:
        raise UsageError(
            f"--data {data} has one class only ('{labels[0]}')",
            hint="a classifier needs at least two class folders",
        )
    warnings = [line for entry in listings.values() for line in entry.warnings]
    everything = _photo_set(readable["--data"], labels, scanned)
    if "--val" in readable:
        _check_classes(readable["--val"], labels)
        train, val_set = everything, _photo_set(readable["--val"], labels, scanned)
    else:
        train, val_set = split_validation(everything, VAL_FRACTION)
    train, notes = remove_overlap(train, val_set)
    if len(train) < MIN_TRAIN:
        raise UsageError(
            f"the training set has {len(train)} photos only",
            hint=f"give at least {MIN_TRAIN}, outside of the validation set",
        )
    warnings += notes
    warnings += _missing_classes(train, val_set, len(labels))

    given = "--calibration" in readable
    candidates = _photo_set(readable["--calibration"], labels, scanned) if given else train
    held_out = set(val_set.hashes)
    chosen = candidates.subset([i for i, h in enumerate(candidates.hashes) if h not in held_out])
    if given and len(chosen) < len(candidates):
        shared = len(candidates) - len(chosen)
        warnings.append(f"{shared} calibration photos are validation photos and are left out")
    elif not given:
        chosen = chosen.subset(spread(chosen.names, chosen.labels, calibration_count, seed))
    warnings += _check_calibration(len(chosen))

    problems = {
        file.name: scanned[file.path].problem
        for entry in listings.values()
        for file in entry.files
        if scanned[file.path].problem
    }
    return Splits(
        train=train,
        val=val_set,
        calibration=chosen,
        labels=labels,
        source=printable(", ".join(f"{option} {e.source}" for option, e in listings.items())),
        builtin=False,
        unreadable=tuple(problems.items()),
        warnings=tuple(map(printable, warnings)),
    )


def fingerprint(data: Path | None, val: Path | None, calibration: Path | None) -> str:
    """Returns a cheap key of all that `load_splits` would read, in hex; nothing is decoded.

    It covers names, sizes and modification times of the photos, and the contents of lists; not the
    other arguments of `load_splits`.

    Raises:
        UsageError: as `load_splits`, where a folder or list is missing or holds no photo.
    """
    digest = hashlib.sha256(f"{_VERSION} {synthetic.VERSION}\n".encode())
    for option, listing in _listings(data, val, calibration).items():
        digest.update(printable(f"{option} {listing.source}\n").encode())
        for file in listing.files:
            try:
                stat = file.path.stat()
                state = f"{stat.st_size} {stat.st_mtime_ns}"
            except OSError:
                state = "unreadable"
            digest.update(printable(f"{file.path}\0{file.label}\0{state}\n").encode())
    return digest.hexdigest()


def _listings(data: Path | None, val: Path | None, calibration: Path | None) -> dict[str, Listing]:
    """Lists what was given, by option; empty for the built-in dataset."""
    if data is None:
        for option, path in (("--val", val), ("--calibration", calibration)):
            if path is not None:
                raise UsageError(
                    f"{option} {path} was given without --data",
                    hint="give the training photos too; the built-in dataset brings its own sets",
                )
        return {}
    also_in = data if data.is_dir() else data.parent
    listings = {"--data": list_photos(data, "--data")}
    if val is not None:
        listings["--val"] = list_photos(val, "--val", also_in=also_in)
    if calibration is not None:
        listings["--calibration"] = list_photos(
            calibration, "--calibration", also_in=also_in, classes=False
        )
    return listings


def _builtin(calibration_count: int, seed: int, resolution: int) -> Splits:
    train = synthetic.SyntheticPhotos(synthetic.TRAIN_COUNT, seed, "train", resolution)
    calibration = train.subset(spread(train.names, train.labels, calibration_count, seed))
    return Splits(
        train=train,
        val=synthetic.SyntheticPhotos(synthetic.VAL_COUNT, seed, "val", resolution),
        calibration=calibration,
        labels=synthetic.LABELS,
        source=f"built-in shapes (seed {seed})",
        builtin=True,
        warnings=tuple(_check_calibration(len(calibration))),
    )


def _readable(option: str, listing: Listing, scanned: Mapping[Path, Scanned]) -> list[PhotoFile]:
    """Returns the photos that could be read, unless too many could not."""
    bad = [file for file in listing.files if scanned[file.path].problem]
    if len(bad) > UNREADABLE_LIMIT * len(listing.files):
        named = "; ".join(f"{file.name}: {scanned[file.path].problem}" for file in bad[:3])
        raise UsageError(
            f"{len(bad)} of the {len(listing.files)} photos of {option} {listing.source} "
            f"cannot be read, more than {UNREADABLE_LIMIT:.0%}",
            cause=named + ("; …" if len(bad) > 3 else ""),
            hint="repair or remove them",
        )
    return [file for file in listing.files if not scanned[file.path].problem]


def _check_classes(val: Sequence[PhotoFile], labels: Sequence[str]) -> None:
    unknown = sorted({file.label for file in val} - set(labels))
    if unknown:
        raise UsageError(
            f"--val has {len(unknown)} classes that --data has not: {', '.join(unknown[:5])}",
            cause=f"--data has {len(labels)}: {', '.join(labels[:5])}"
            + (", …" if len(labels) > 5 else ""),
            hint="name the class folders of both alike",
        )


def _photo_set(
    files: Sequence[PhotoFile], labels: Sequence[str], scanned: Mapping[Path, Scanned]
) -> FilePhotos:
    index = {label: i for i, label in enumerate(labels)}
    return FilePhotos(
        paths=tuple(file.path for file in files),
        names=tuple(file.name for file in files),
        labels=np.array([index.get(file.label, -1) for file in files], np.int64),
        hashes=tuple(scanned[file.path].sha256 for file in files),
    )


def _missing_classes(train: FilePhotos, val: FilePhotos, count: int) -> Iterator[str]:
    for what, photos in (("training", train), ("validation", val)):
        missing = count - len(np.unique(photos.labels))
        if missing:
            yield f"{missing} of the {count} classes have no {what} photo"


def _check_calibration(count: int) -> Iterator[str]:
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
