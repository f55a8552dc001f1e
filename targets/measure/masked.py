"""Photos with masks on which a finished segmenter is measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.class_names import canonical
from edgekit.data.image_set import PhotoSet
from edgekit.data.masks.find import find_layout
from edgekit.data.masks.pairs import pair_up
from edgekit.data.masks.scan import scan_pairs
from edgekit.data.placement import IGNORED
from edgekit.data.sources import DATA
from edgekit.data.split_folders import ALL, TEST, TRAIN
from edgekit.data.split_folders import VAL as VALIDATION
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath


@dataclass(frozen=True)
class MaskedSet:
    """Photos with masks.

    Attributes:
        photos: whose labels are masks, of `labels`.
        labels: names of the classes; empty where nothing names them.
    """

    photos: PhotoSet
    labels: tuple[str, ...]


def masked_set(data: StrPath) -> MaskedSet:
    """Finds the photos of a folder that holds masks: the validation ones, else the others.

    Raises:
        UsageError: it is of no known layout, or its photos or masks cannot be used.
    """
    layout = find_layout(data, DATA)
    roles = (VALIDATION, TEST, ALL, TRAIN)
    role = next(role for role in roles if role in layout.parts)
    pairs = pair_up(layout.parts[role], Path(os.path.abspath(data)), DATA)
    scanned = scan_pairs(pairs, layout.classes.form, DATA)
    return MaskedSet(scanned.photos(layout.classes.form), layout.classes.labels)


def in_order_of(
    path: StrPath, masks: NDArray[np.uint8], found: Sequence[str], known: Sequence[str]
) -> NDArray[np.uint8]:
    """Masks in the classes of a file.

    Args:
        path: of the file, for messages.
        masks: uint8, in the classes ``found``; 255 where a pixel is of none.
        found: names of the masks' classes; empty where only their numbers are known.
        known: names of the file's, likewise.

    Raises:
        UsageError: the file does not know a class.
    """
    if not found or not known:
        return masks
    names = [canonical(name) for name in known]
    unknown = [name for name in found if canonical(name) not in names]
    if unknown:
        raise UsageError(
            f"{path} has no class '{unknown[0]}'",
            cause=f"the masks are of {', '.join(found[:5])}, the file knows {', '.join(names[:5])}",
            hint="give photos of the classes that it was trained on",
        )
    table = np.full(IGNORED + 1, IGNORED, np.uint8)
    table[: len(found)] = [names.index(canonical(name)) for name in found]
    return np.asarray(table[masks])
