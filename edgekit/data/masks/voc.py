"""Pascal VOC's layout, which CVAT and others write too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edgekit.data.folders import entries_of
from edgekit.data.masks.class_file import find_classes
from edgekit.data.masks.layouts import Classes, Layout, Part, files_by_stem
from edgekit.data.split_folders import ALL, SPLITS, TRAIN, role_of

#: The twenty of the challenge and the background, by index.
LABELS = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
_LISTS = Path("ImageSets") / "Segmentation"


def find_voc(root: Path) -> Layout | None:
    """Finds ``JPEGImages/``, ``SegmentationClass/`` and the lists in ``ImageSets/Segmentation/``.

    In VOCdevkit they are in ``VOC2012/``. Without a file of classes, they are VOC's own.
    """
    root = next((path for path in (root, *sorted(root.glob("VOC2*"))) if _is_voc(path)), root)
    if not _is_voc(root):
        return None
    photos = files_by_stem(root / "JPEGImages")
    masks = files_by_stem(root / "SegmentationClass")
    classes = find_classes(root)
    if not classes.labels:
        classes = Classes(LABELS, source="Pascal VOC")
    return Layout("Pascal VOC", _parts(root / _LISTS, photos, masks), classes)


def _is_voc(root: Path) -> bool:
    return all((root / name).is_dir() for name in ("JPEGImages", "SegmentationClass", _LISTS))


def _parts(folder: Path, photos: Mapping[str, Path], masks: Mapping[str, Path]) -> dict[str, Part]:
    """The photos that each list names; of lists that name no split, all, to be divided.

    A list such as trainval.txt, which another list is part of, is left out.
    """
    lists = {path.stem: entries_of(path.read_bytes()) for path in sorted(folder.glob("*.txt"))}
    own = {name: stems for name, stems in lists.items() if name.lower() != "trainval"}
    found: dict[str, Part] = {}
    for name, stems in (own or lists).items():
        role = role_of(name)
        if role in SPLITS and stems:
            found.setdefault(role, _part(stems, photos, masks))
    if not found:
        found[ALL] = _part((stem for stems in lists.values() for stem in stems), photos, masks)
    elif len(found) == 1 and TRAIN not in found:
        found = {ALL: next(iter(found.values()))}
    return found


def _part(stems: Iterable[str], photos: Mapping[str, Path], masks: Mapping[str, Path]) -> Part:
    """What a list names; test photos of the challenge have no masks, and are left out with it."""
    # A line may have a number after the name, as those of the challenge's classes have.
    named = {stem if stem in photos else stem.split()[0] for stem in stems}
    return Part(
        {stem: path for stem, path in photos.items() if stem in named},
        {stem: path for stem, path in masks.items() if stem in named},
    )
