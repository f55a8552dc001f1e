"""ADE20K's layout (SceneParsing): masks whose value 0 is none of the 150 classes."""

from __future__ import annotations

from pathlib import Path

from edgekit.data.label_files import decode_text
from edgekit.data.masks.layouts import Classes, Layout, Part, files_by_stem
from edgekit.data.masks.reading import MaskFormat
from edgekit.data.placement import IGNORED
from edgekit.data.split_folders import folders_by_role
from edgekit.errors import UsageError

_NAMES = "objectInfo150.txt"


def find_ade20k(root: Path) -> Layout | None:
    """Finds ``images/training``, ``annotations/training`` and ``objectInfo150.txt``.

    A value v is class v - 1, and 0 is ignored, as in the benchmark's own evaluation.

    Raises:
        UsageError: the file of names cannot be read.
    """
    if not (root / _NAMES).is_file():
        return None
    photos, masks = (folders_by_role(root / name) for name in ("images", "annotations"))
    parts = {
        role: Part(files_by_stem(photos[role]), files_by_stem(masks[role]))
        for role in photos.keys() & masks.keys()
    }
    note = "value 0 of its masks is ignored, and value 1 is the first class"
    return Layout("ADE20K", parts, _classes(root / _NAMES), (note,))


def _classes(path: Path) -> Classes:
    """The names in a table with the columns Idx, Ratio, Train, Val and Name (or Stuff, Name)."""
    rows = [line.split("\t") for line in decode_text(path.read_bytes()).splitlines() if line]
    names = [row[-1].split(",")[0].strip() for row in rows if row[0].strip().isdigit()]
    if not names:
        raise UsageError(
            f"{path} names no class", hint="its columns are Idx, Ratio, Train, Val and Name"
        )
    table = ((0, IGNORED), *((index + 1, index) for index in range(len(names))))
    return Classes(tuple(names), MaskFormat(table), path.name)
