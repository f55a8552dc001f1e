"""Each photo with its mask: found by their names, and what has no counterpart is said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.masks.layouts import Part
from edgekit.data.photo_files import printable
from edgekit.errors import UsageError

#: Of photos and masks that have no counterpart, and of pairs that cannot be used.
BAD_LIMIT = 0.05
SHOWN = 3
#: What masks' names may have after the photo's.
_SUFFIXES = (
    *("", "_mask", "_masks", "_label", "_labels", "_L", "_seg", "_segmentation", "_gt"),
    *("_labelTrainIds", "-mask", ".mask"),
)


@dataclass(frozen=True)
class Pair:
    """A photo and its mask.

    Attributes:
        photo: the file.
        mask: the file.
        name: the photo's printable path relative to the data set.
    """

    photo: Path
    mask: Path
    name: str


@dataclass(frozen=True)
class Pairs:
    """The pairs of a split, by name, and what was left out.

    Attributes:
        source: the data set.
        pairs: sorted by name.
        warnings: a sentence each.
    """

    source: Path
    pairs: tuple[Pair, ...]
    warnings: tuple[str, ...] = ()


def pair_up(part: Part, root: Path, option: str) -> Pairs:
    """Pairs the photos and masks of a split.

    Args:
        part: the files.
        root: the data set.
        option: how the user named it, for messages.

    Raises:
        UsageError: there is no pair, or too many have no counterpart.
    """
    masks = _by_photo(part)
    names = sorted(part.photos.keys() & masks.keys())
    lonely = {
        "photos have no mask": [p for name, p in part.photos.items() if name not in masks],
        "masks have no photo": [p for name, p in masks.items() if name not in part.photos],
    }
    if part.is_chosen:
        del lonely["masks have no photo"]
    if not names:
        raise UsageError(
            f"no photo of {option} {root} has a mask",
            cause=f"it has {len(part.photos)} photos and {len(masks)} masks"
            + _examples(part.photos, masks),
            hint="name a mask as its photo, but for the ending: images/car.jpg, masks/car.png",
        )
    warnings = list(_lonely(lonely, root, option, len(names)))
    made = (
        Pair(part.photos[name], masks[name], _relative(part.photos[name], root)) for name in names
    )
    return Pairs(root, tuple(sorted(made, key=lambda pair: pair.name)), tuple(warnings))


def _by_photo(part: Part) -> dict[str, Path]:
    """Masks by the names of their photos: with the ending of names that most masks have."""

    def named(suffix: str) -> dict[str, Path]:
        return {
            name.removesuffix(suffix): path
            for name, path in part.masks.items()
            if name.endswith(suffix)
        }

    tried = map(named, _SUFFIXES)
    return max(tried, key=lambda masks: len(part.photos.keys() & masks.keys()))


def _lonely(
    lonely: Mapping[str, Sequence[Path]], root: Path, option: str, paired: int
) -> Iterator[str]:
    """Yields a warning for each kind of file without a counterpart.

    Raises:
        UsageError: there are too many of a kind.
    """
    for what, files in lonely.items():
        if not files:
            continue
        shown = ", ".join(_relative(path, root) for path in sorted(files)[:SHOWN])
        shown += ", …" if len(files) > SHOWN else ""
        if len(files) > BAD_LIMIT * (paired + len(files)):
            raise UsageError(
                f"{len(files)} {what} in {option} {root}, more than {BAD_LIMIT:.0%}",
                cause=f"they are {shown}; {paired} photos have one",
                hint="name each mask as its photo, but for the ending; remove what has no other",
            )
        yield f"{len(files)} {what} in {root} and are left out: {shown}"


def _examples(photos: Mapping[str, Path], masks: Mapping[str, Path]) -> str:
    if not photos or not masks:
        return ""
    return f", such as {min(photos.values()).name} and {min(masks.values()).name}"


def _relative(path: Path, root: Path) -> str:
    return printable(Path(os.path.relpath(path, root)).as_posix())
