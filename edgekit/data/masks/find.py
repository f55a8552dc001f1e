"""Which layout a folder of photos with masks has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edgekit.data.hub.reference import refuse_hub
from edgekit.data.masks.ade20k import find_ade20k
from edgekit.data.masks.cityscapes import find_cityscapes
from edgekit.data.masks.coco import find_coco
from edgekit.data.masks.folders import (
    find_images_and_masks,
    find_side_by_side,
    find_split_and_masks,
)
from edgekit.data.masks.layouts import Layout
from edgekit.data.masks.voc import find_voc
from edgekit.data.photo_files import Progress, Source, printable
from edgekit.data.split_folders import sub_folders
from edgekit.errors import UsageError

#: Each returns what a folder holds, or None where it has another layout; it is called with the
#: folder and what progress is told to. The first one counts.
LAYOUTS: tuple[Callable[[Path, Progress | None], Layout | None], ...] = (
    lambda root, _: find_cityscapes(root),
    lambda root, _: find_ade20k(root),
    lambda root, _: find_voc(root),
    find_coco,
    lambda root, _: find_split_and_masks(root),
    lambda root, _: find_images_and_masks(root),
    lambda root, _: find_side_by_side(root),
)
_HINT = (
    "put the photos into images/ and their masks, PNG files of the same names, into masks/; or "
    "both into train/ and val/; layouts of Pascal VOC, Cityscapes, CamVid, ADE20K and COCO are "
    "known, too"
)


def match_layout(root: Path, progress: Progress | None = None) -> Layout | None:
    """Returns what a folder holds; None where it is of no known layout.

    Where all that it holds is one folder, what an archive is unpacked to, that one counts.

    Raises:
        UsageError: it is of a known layout, and something in it is wrong.
        OSError: it cannot be read.
    """
    while True:
        for find in LAYOUTS:
            layout = find(root, progress)
            if layout is not None:
                return layout
        inner = sub_folders(root)
        if len(inner) != 1:
            return None
        root = inner[0]


def find_layout(source: Source, option: str, progress: Progress | None = None) -> Layout:
    """Returns what a folder that the user named holds.

    Args:
        source: the folder.
        option: how the user named it, for messages.
        progress: called with what is done, how many are done, and how many there are.

    Raises:
        UsageError: it is none, or is of no known layout.
    """
    refuse_hub(source, option, "a segmenter's")
    root = Path(os.path.abspath(source))
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(
            f"{option} {source} {what}",
            cause="photos with masks are read from folders",
            hint="check the path; " + _HINT,
        )
    try:
        layout = match_layout(root, progress)
    except OSError as error:
        raise UsageError(f"{option} {source} cannot be read", cause=str(error)) from error
    if layout is None:
        names = ", ".join(printable(folder.name) for folder in sub_folders(root)[:8])
        raise UsageError(
            f"{option} {source} holds no photos with masks",
            cause=f"its folders are {names}" if names else "it has no folders",
            hint=_HINT,
        )
    if not layout.parts:
        raise UsageError(
            f"{option} {source} looks like {layout.name}, and holds no photos with masks",
            cause="no folder of photos has a folder of masks of the same split",
            hint="name the folders of both alike: train and val",
        )
    return layout
