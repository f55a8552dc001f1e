"""Photos with boxes on which a finished detector is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.data.boxes.find import find_box_layout, match_box_layout, takes_photos
from edgekit.data.boxes.photos import BoxedPhotos
from edgekit.data.boxes.scan import scan_boxes
from edgekit.data.class_names import canonical, some_names
from edgekit.data.folders import Progress, Source
from edgekit.data.sources import DATA
from edgekit.data.split_folders import ALL, TEST, TRAIN, VAL, first_role
from edgekit.errors import UsageError


def has_boxes(data: Source) -> bool:
    """Whether what the user named is a folder of a layout with boxes, or a file of them."""
    path = Path(data)
    if path.is_dir():
        return match_box_layout(path) is not None
    return takes_photos(path) or path.suffix.lower() in (".yaml", ".yml")


def boxes_to_measure(
    data: Source,
    labels: Sequence[str] = (),
    photos: Source | None = None,
    progress: Progress | None = None,
) -> tuple[BoxedPhotos, tuple[str, ...]]:
    """Reads the photos of a data set: the validation ones, else the test ones, else all.

    Args:
        data: a folder or file of a layout that `find_box_layout` knows.
        labels: of the detector, whose class indices the boxes get; empty where nothing names
            them: indices are then those of the data set.
        photos: the folder of the photos, where ``data`` is a file of their annotations.
        progress: called with ('scan', done, total).

    Returns:
        The photos, and the names of their classes.

    Raises:
        UsageError: there are none that can be used, or the detector does not know a class of them.
    """
    layout = find_box_layout(data, DATA, photos if takes_photos(data) else None)
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
