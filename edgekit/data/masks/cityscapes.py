"""Cityscapes' layout: photos and masks by city, masks of 34 ids of which 19 are trained on."""

from __future__ import annotations

from pathlib import Path

from edgekit.data.masks.layouts import Classes, Layout, Part, files_by_stem
from edgekit.data.masks.reading import MaskFormat
from edgekit.data.placement import IGNORED
from edgekit.data.split_folders import TEST, folders_by_role

#: The classes that are evaluated, by trainId, with their ids (mcordts/cityscapesScripts,
#: cityscapesscripts/helpers/labels.py).
CLASSES = {
    **{"road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17},
    **{"traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23},
    **{"person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31},
    **{"motorcycle": 32, "bicycle": 33},
}
_MOST_ID = 33
_PHOTO = "_leftImg8bit"
_IDS, _TRAIN_IDS = "_gtFine_labelIds", "_gtFine_labelTrainIds"


def find_cityscapes(root: Path) -> Layout | None:
    """Finds ``leftImg8bit/`` and ``gtFine/``; masks of trainIds count before those of ids.

    The test photos, whose masks are blank, are left out.
    """
    photos, masks = root / "leftImg8bit", root / "gtFine"
    if not photos.is_dir() or not masks.is_dir():
        return None
    others = folders_by_role(masks)
    roles = {
        role: (folder, others[role])
        for role, folder in folders_by_role(photos).items()
        if role in others and role != TEST
    }
    has_train_ids = all(files_by_stem(masks, _TRAIN_IDS) for _, masks in roles.values())
    suffix = _TRAIN_IDS if has_train_ids else _IDS
    return Layout(
        "Cityscapes",
        {
            role: Part(files_by_stem(images, _PHOTO), files_by_stem(masks, suffix))
            for role, (images, masks) in roles.items()
        },
        Classes(tuple(CLASSES), MaskFormat() if has_train_ids else _form(), "Cityscapes"),
        () if has_train_ids else ("the ids of its masks become Cityscapes' 19 classes",),
    )


def _form() -> MaskFormat:
    index = {value: position for position, value in enumerate(CLASSES.values())}
    return MaskFormat(tuple((v, index.get(v, IGNORED)) for v in range(_MOST_ID + 1)))
