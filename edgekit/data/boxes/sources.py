"""What the user names as photos with boxes, as the photos that are read for each set."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.data.boxes.annotations import AnnotatedPart, BoxLayout
from edgekit.data.boxes.find import find_box_layout, takes_photos
from edgekit.data.class_names import some_names
from edgekit.data.photo_files import Source
from edgekit.data.sources import DATA, VAL
from edgekit.data.split_folders import ALL, TEST, TRAIN, first_role
from edgekit.data.split_folders import VAL as VALIDATION
from edgekit.data.splits import Wanted
from edgekit.errors import UsageError


@dataclass(frozen=True, eq=False)
class ChosenBoxes:
    """The annotated photos of one set.

    Attributes:
        given: the option and the data set, as the user named them.
        layout: what that was found to be.
        part: of it.
        notes: what was decided, a sentence each.
    """

    given: str
    layout: BoxLayout
    part: AnnotatedPart
    notes: tuple[str, ...] = ()


def choose_boxes(data: Source, wanted: Wanted) -> dict[str, ChosenBoxes]:
    """Finds the photos of the training set, and of the validation set where it has its own.

    Args:
        data: a folder or file of a layout that `find_box_layout` knows.
        wanted: its ``val`` is another one or a part of it, and ``photos`` the folder of the
            photos of such files.

    Returns:
        By the option that a set is known by: `DATA`, and perhaps `VAL`. Both have the classes of
        ``data``.

    Raises:
        UsageError: there are no photos with boxes, or ``val`` has other classes.
    """
    layout = find_box_layout(data, DATA, wanted.photos)
    role = first_role((TRAIN, ALL, VALIDATION, TEST), layout.parts) or ALL
    held = first_role((VALIDATION, TEST), layout.parts) if role == TRAIN else None
    notes = list(layout.notes)
    found: dict[str, ChosenBoxes] = {}
    if wanted.val is not None:
        photos = wanted.photos if takes_photos(wanted.val) else None
        other = _with_labels_of(layout, find_box_layout(wanted.val, VAL, photos), wanted.val)
        there = first_role((VALIDATION, TEST, ALL, TRAIN), other.parts) or ALL
        found[VAL] = ChosenBoxes(f"{VAL} {wanted.val}", other, other.parts[there], other.notes)
        held = None
    elif held is not None:
        found[VAL] = ChosenBoxes(f"{DATA} {data}", layout, layout.parts[held])
        if held == TEST:
            notes.append("its test photos are for validation, as there are no others")
    parts = {role: part for role, part in layout.parts.items() if part.photos}
    used = {role, held}
    if wanted.val is not None:
        used |= {one for one, part in parts.items() if _shares(part, found[VAL].part)}
    if left_out := [name for name in parts if name not in used]:
        notes.append(f"its {' and '.join(left_out)} photos are left out")
    own = ChosenBoxes(f"{DATA} {data}", layout, layout.parts[role], tuple(notes))
    return {DATA: own, **found}


def _shares(one: AnnotatedPart, other: AnnotatedPart) -> bool:
    """Whether two parts have a photo in common."""
    return bool({photo.path for photo in one.photos} & {photo.path for photo in other.photos})


def _with_labels_of(layout: BoxLayout, other: BoxLayout, val: Source) -> BoxLayout:
    """The validation set with the class indices of the training set.

    Raises:
        UsageError: it has classes that the training set does not have.
    """
    if others := [label for label in other.labels if label not in layout.labels]:
        raise UsageError(
            f"{VAL} {val} has other classes than {DATA}",
            cause=f"{some_names(others)} in {other.source}; {some_names(layout.labels)} in "
            f"{layout.source}",
            hint="give both the same classes",
        )
    return other.with_labels(layout.labels)
