"""What a folder of photos with masks is found to be, and the photos and masks of it by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.folders import walk
from edgekit.data.images import EXTENSIONS
from edgekit.data.masks.reading import PLAIN, MaskFormat
from edgekit.data.photo_files import printable
from edgekit.errors import UsageError


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        labels: their names; empty where only the masks say how many there are.
        form: what the values of masks mean.
        source: where the names are from, for messages.
    """

    labels: tuple[str, ...] = ()
    form: MaskFormat = PLAIN
    source: str = ""


@dataclass(frozen=True)
class Part:
    """Photos and masks of one split.

    Attributes:
        photos: files by a name that a photo and its mask have in common.
        masks: likewise.
        is_chosen: whether a list names the photos, so that other masks are no mistake.
    """

    photos: Mapping[str, Path]
    masks: Mapping[str, Path]
    is_chosen: bool = False


@dataclass(frozen=True)
class Layout:
    """A data set of photos with masks.

    Attributes:
        name: of the layout, for messages.
        parts: by role, one of `edgekit.data.split_folders.SPLITS` or `ALL`.
        classes: of all parts.
        notes: what was decided, a sentence each.
    """

    name: str
    parts: Mapping[str, Part]
    classes: Classes = Classes()
    notes: tuple[str, ...] = ()


def files_by_stem(folder: Path, suffix: str = "") -> dict[str, Path]:
    """Returns the images of a folder and below by their relative paths without the ending.

    A JPEG is returned even where masks are expected, to be refused by its name.

    Args:
        folder: the folder.
        suffix: what the names end with before the dot, which is taken off; others are left out.

    Raises:
        UsageError: two files have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(walk(folder)):
        if path.suffix.lower() not in EXTENSIONS or not path.stem.endswith(suffix):
            continue
        stem = path.with_name(path.stem.removesuffix(suffix)).relative_to(folder)
        name = printable(stem.as_posix())
        if name in found:
            raise UsageError(
                f"{found[name]} and {path.name} have one name",
                cause="a photo and its mask are known by the name without the ending",
                hint="remove one of them",
            )
        found[name] = path
    return found
