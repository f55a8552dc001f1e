"""What the user names as photos with masks, as the pairs that are read for each set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.data.class_names import some_names
from edgekit.data.masks.find import find_layout
from edgekit.data.masks.layouts import Classes, Layout
from edgekit.data.masks.pairs import Pairs, pair_up
from edgekit.data.masks.reading import MaskFormat
from edgekit.data.photo_files import Progress, Source
from edgekit.data.sources import DATA, VAL
from edgekit.data.split_folders import ALL, TEST, TRAIN, first_role
from edgekit.data.split_folders import VAL as VALIDATION
from edgekit.errors import UsageError


@dataclass(frozen=True)
class ChosenPairs:
    """The pairs of one set.

    Attributes:
        option: how the user named the data set.
        root: the data set.
        layout: what it was found to be.
        pairs: photos and masks.
        notes: what was decided, a sentence each.
    """

    option: str
    root: Path
    layout: Layout
    pairs: Pairs
    notes: tuple[str, ...] = ()


def choose_pairs(
    data: Source, val: Source | None, progress: Progress | None
) -> dict[str, ChosenPairs]:
    """Finds the pairs of the training set, and of the validation set where it has its own.

    Args:
        data: a folder of a layout that `find_layout` knows.
        val: another one, or a part of it.
        progress: called with what is done, how many are done, and how many there are.

    Returns:
        By the option that a set is known by: `DATA`, and perhaps `VAL`.

    Raises:
        UsageError: there are no pairs of photos and masks.
    """
    layout = find_layout(data, DATA, progress)
    role = first_role((TRAIN, ALL, VALIDATION, TEST), layout.parts)
    held = first_role((VALIDATION, TEST), layout.parts) if role == TRAIN else None
    notes = list(layout.notes)
    found = {DATA: _chosen(DATA, data, layout, role or ALL)}
    if val is not None:
        other = find_layout(val, VAL, progress)
        held_there = first_role((VALIDATION, TEST, ALL, TRAIN), other.parts)
        found[VAL] = _chosen(VAL, val, other, held_there or ALL)
        held = None
    elif held is not None:
        found[VAL] = _chosen(DATA, data, layout, held)
        if held == TEST:
            notes.append("its test photos are for validation, as there are no others")
    used = {pair.photo for one in found.values() for pair in one.pairs.pairs}
    left_out = [name for name, part in layout.parts.items() if not used & {*part.photos.values()}]
    if left_out:
        notes.append(f"its {' and '.join(left_out)} photos are left out")
    found[DATA] = replace(found[DATA], notes=tuple(notes))
    return found


def _chosen(option: str, source: Source, layout: Layout, role: str) -> ChosenPairs:
    root = Path(os.path.abspath(source))
    return ChosenPairs(option, root, layout, pair_up(layout.parts[role], root, option))


def classes_of(chosen: Mapping[str, ChosenPairs]) -> Classes:
    """The classes that `--data` names.

    Raises:
        UsageError: ``--val`` has others.
    """
    classes = chosen[DATA].layout.classes
    others = chosen[VAL].layout.classes if VAL in chosen else classes
    if others.labels and others.labels != classes.labels:
        raise UsageError(
            f"--val {chosen[VAL].root} has other classes than --data {chosen[DATA].root}",
            cause=f"{some_names(others.labels)} in {others.source}; "
            f"{some_names(classes.labels)} in {classes.source or '--data'}",
            hint="give both the same classes, in the same order",
        )
    return classes


def form_of(one: ChosenPairs, classes: Classes) -> MaskFormat:
    """What the values of a set's masks mean: as its own classes say, or those of ``--data``."""
    return (one.layout.classes if one.layout.classes.labels else classes).form
