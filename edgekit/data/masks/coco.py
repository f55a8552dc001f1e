"""COCO's layout: the masks of a data set in one JSON file, of panoptic, stuff or instance kind."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edgekit.data.coco_files import KINDS, by_role, find_coco_files, find_photo_folder
from edgekit.data.masks.coco_masks import Rendered, render
from edgekit.data.masks.layouts import Classes, Layout, Part
from edgekit.data.photo_files import Progress, printable
from edgekit.errors import UsageError


def find_coco(root: Path, progress: Progress | None = None) -> Layout | None:
    """Finds JSON files in ``annotations/``, beside the photos, or in the folders of splits.

    Of several for one split, panoptic counts before stuff, and stuff before instances. The masks
    are drawn once, as PNG files in the user's cache folder.

    Args:
        root: the folder.
        progress: called with ('masks', done, total) as they are drawn.

    Raises:
        UsageError: a file is not COCO's, its photos are missing, or two files have one split.
    """
    files = list(find_coco_files(root))
    if not files:
        return None
    kind = next(kind for kind in (*KINDS, "other") if any(file.kind == kind for file in files))
    chosen = by_role([file for file in files if file.kind == kind], root, "masks")
    rendered = {role: render(file.path, kind, progress) for role, file in chosen.items()}
    labels = next(iter(rendered.values())).labels
    if any(one.labels != labels for one in rendered.values()):
        raise UsageError(
            f"the JSON files of {root} have different categories",
            cause=", ".join(file.path.name for file in chosen.values()),
            hint="give each file the same categories",
        )
    parts = {role: _part(root, chosen[role].path, one) for role, one in rendered.items()}
    others = sorted({file.kind for file in files} - {kind})
    notes = (f"its {kind} files are read, not {' or '.join(others)}",) if others else ()
    names = ", ".join(file.path.name for file in chosen.values())
    return Layout(f"COCO, {kind}", parts, Classes(labels, source=names), notes)


def _part(root: Path, file: Path, rendered: Rendered) -> Part:
    """The photos that a file names, and their masks."""
    folder = find_photo_folder(root, file, list(rendered.masks))
    photos, masks = {}, {}
    for name, mask in rendered.masks.items():
        stem = printable(PurePosixPath(name).with_suffix("").as_posix())
        if (folder / name).is_file():
            photos[stem] = folder / name
            masks[stem] = mask
    return Part(photos, masks, is_chosen=True)
