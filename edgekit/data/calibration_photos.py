"""The photos that calibrate a network with labels of its own kind: they need none themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from edgekit.data.photo_files import HashedPhotos, Listing, PhotoFile, Source, printable
from edgekit.data.scan import read_listings
from edgekit.data.selection import spread, without
from edgekit.data.sources import CALIBRATION
from edgekit.data.splits import Wanted
from edgekit.system.paths import StrPath


def choose_calibration(
    wanted: Wanted,
    train: HashedPhotos,
    val: HashedPhotos,
    list_photos: Callable[[Source], Listing],
) -> tuple[HashedPhotos, list[str]]:
    """Chooses the photos that calibrate, which are never validation photos.

    Args:
        wanted: without ``calibration``, they are training photos.
        train: the training photos.
        val: the validation photos.
        list_photos: finds those of ``wanted.calibration``.

    Returns:
        The photos, and what the user should know about it.

    Raises:
        UsageError: they cannot be found or read.
    """
    if wanted.calibration is None:
        rest = without(train, val.hashes)
        chosen = spread(rest.names, rest.labels, wanted.calibration_count, wanted.seed)
        return rest.subset(chosen), []
    listing = list_photos(wanted.calibration)
    read = read_listings({CALIBRATION: listing}, wanted.progress)[CALIBRATION]
    candidates = read.photo_set(())
    chosen_ones = without(candidates, val.hashes)
    notes = list(listing.warnings)
    if shared := len(candidates) - len(chosen_ones):
        notes.append(f"{shared} calibration photos are validation photos and are left out")
    return chosen_ones, notes


def listing_of(paths: Iterable[StrPath], root: StrPath) -> Listing:
    """Returns photos of a data set without their labels, by their names within it."""
    files = [PhotoFile(Path(path), printable(os.path.relpath(path, root)), "") for path in paths]
    return Listing(Path(root), tuple(sorted(files, key=lambda file: file.name)))
