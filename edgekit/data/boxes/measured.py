"""Photos with boxes on which a finished detector is measured."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgekit.data.boxes.annotations import BoxLayout
from edgekit.data.boxes.find import seek_box_layout, takes_photos
from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.boxes.scan import scan_boxes
from edgekit.data.class_names import canonical, some_names
from edgekit.data.photo_files import Progress, Source
from edgekit.data.sources import DATA
from edgekit.data.split_folders import ALL, TEST, TRAIN, VAL, first_role
from edgekit.errors import UsageError


def layout_to_measure(data: Source, photos: Source | None = None) -> BoxLayout | None:
    """The layout of photos with boxes; None of photos without, and of nothing at all.

    Args:
        data: a folder or file.
        photos: the folder of the photos, where ``data`` is a file of their annotations.

    Raises:
        UsageError: it is of a known layout, and something in it is wrong.
    """
    if takes_photos(data):
        return seek_box_layout(data, DATA, photos)
    return seek_box_layout(data, DATA) if os.path.exists(data) else None


def boxes_to_measure(
    layout: BoxLayout, data: Source, labels: Sequence[str] = (), progress: Progress | None = None
) -> tuple[BoxedPhotos, tuple[str, ...]]:
    """Reads the photos of a data set: the validation ones, else the test ones, else all.

    Args:
        layout: of the data set.
        data: the folder or file that it was found in, for messages.
        labels: of the detector, whose class indices the boxes get; empty where nothing names
            them: indices are then those of the data set.
        progress: called with ('scan', done, total).

    Returns:
        The photos, and the names of their classes.

    Raises:
        UsageError: there are none that can be used, or the detector does not know a class of them.
    """
    if labels:
        names = tuple(map(canonical, labels))
        if unknown := [label for label in layout.labels if label not in names]:
            raise UsageError(
                f"the detector has no class '{unknown[0]}'",
                cause=f"the boxes are of {some_names(layout.labels)}, the detector knows "
                f"{some_names(names)}",
                hint="give photos of the classes that it was trained on",
            )
        layout = layout.with_labels(names)
    role = first_role((VAL, TEST, ALL, TRAIN), layout.parts) or ALL
    scanned = scan_boxes(layout.parts[role], f"{DATA} {data}", progress)
    return scanned.photos, layout.labels
