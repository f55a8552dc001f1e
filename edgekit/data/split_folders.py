"""Folders of a data set that are its splits: they hold the same sub-folders, the classes.

``Training/`` and ``Testing/`` with ``glioma/`` and ``notumor/`` in each are two splits of two
classes, not two classes. Names tell which split is which, and where they do not, sizes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.class_names import canonical
from edgekit.data.folders import walk
from edgekit.data.images import EXTENSIONS
from edgekit.data.photo_files import printable
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

TRAIN, VAL, TEST, EXTRA = "training", "validation", "test", "unlabelled"
_WORDS = {
    TRAIN: ("train", "training", "trn", "trainset", "traindata", "trainval"),
    VAL: ("val", "valid", "validate", "validation", "valset", "dev", "devel", "eval", "evaluation"),
    TEST: ("test", "testing", "tst", "testset", "testdata", "holdout"),
    EXTRA: (
        "unlabeled",
        "unlabelled",
        "unlabel",
        "unsup",
        "unsupervised",
        "extra",
        "pred",
        "predict",
    ),
}
SPLITS = (TRAIN, VAL, TEST)
#: The role of photos that are not divided into training and validation.
ALL = ""
#: A split for training has so many times the photos of the next one, where only sizes tell.
CLEARLY_LARGER = 1.5


@dataclass(frozen=True)
class Folder:
    """A folder of a data set.

    Attributes:
        name: its own.
        path: where its class folders are: it, or the only folder in it.
        role: what its name says: one of `SPLITS`, `EXTRA`, or '' where it says nothing.
        classes: the folders in it that hold photos.
        is_flat: whether photos are in it directly.
    """

    name: str
    path: Path
    role: str
    classes: frozenset[str]
    is_flat: bool


@dataclass(frozen=True)
class SplitFolders:
    """The splits of a data set.

    Attributes:
        train: folder of class folders.
        val: likewise; None where no folder is fit for it.
        left_out: folders that are neither.
        notes: what was decided, a sentence each.
    """

    train: Folder
    val: Folder | None
    left_out: tuple[Folder, ...] = ()
    notes: tuple[str, ...] = ()


def role_of(name: str) -> str:
    """Returns what a folder's or file's name says of its split: a role, or '' for none."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return next((role for role, known in _WORDS.items() if words & set(known)), "")


def first_role(roles: Sequence[str], parts: Container[str]) -> str | None:
    """Returns the first of these roles that a data set has a part for."""
    return next((role for role in roles if role in parts), None)


def folders_by_role(folder: StrPath) -> dict[str, Path]:
    """Returns the folders in a folder whose names say of which split they are, by role."""
    found: dict[str, Path] = {}
    for path in sub_folders(folder):
        role = role_of(path.name)
        if role in SPLITS:
            found.setdefault(role, path)
    return found


def sub_folders(folder: StrPath) -> list[Path]:
    """Returns the folders in a folder, by name, but for hidden ones."""
    return sorted(p for p in Path(folder).iterdir() if p.is_dir() and not p.name.startswith("."))


def find_split_folders(root: StrPath, option: str = "--data") -> SplitFolders | None:
    """Returns the splits in a folder; None where its folders are classes.

    Args:
        root: the folder.
        option: how the user named it, for messages.

    Raises:
        UsageError: its folders are splits, and their roles are ambiguous, or they hold no
            classes.
        OSError: the folder cannot be read.
    """
    root = Path(root)
    folders = _photo_folders(root)
    group = _alike(folders, root, option)
    if not group:
        if len(folders) > 1 and all(folder.role in SPLITS for folder in folders):
            raise _no_classes(root, option, folders)
        return None
    if any(folder.role in SPLITS for folder in group):
        train, val, how = _by_name(group, root, option)
    else:
        train, val, how = _by_size(group, root, option)
    others = tuple(folder for folder in folders if folder not in (train, val))
    said = f"{train.name} is for training, "
    said += f"{val.name} for validation" if val else "and a fifth of it is held back for validation"
    note = f"the folders of {root} are splits of the same classes: {said}{how}"
    return SplitFolders(train, val, others, (note,))


def inner_folder(root: StrPath) -> Path:
    """Returns the folder that holds the class folders or splits of a data set.

    That is the given one, unless all that it holds is one folder with several in it: what an
    archive is unpacked to.
    """
    root = Path(root)
    while True:
        folders, is_flat = _content(root)
        if is_flat or len(folders) != 1 or len(_content(folders[0])[0]) < 2:
            return root
        root = folders[0]


def has_splits_in_classes(root: StrPath) -> tuple[str, ...]:
    """Returns the names of splits that lie within each class folder, if they do."""
    root = Path(root)
    folders = _photo_folders(root)
    names = folders[0].classes if folders else frozenset()
    is_so = len(names) > 1 and all(role_of(name) in SPLITS for name in names)
    is_so = is_so and all(folder.classes == names for folder in folders)
    return tuple(sorted(names)) if is_so else ()


def _photo_folders(root: Path) -> list[Folder]:
    """The folders of a data set that hold photos, by name."""
    found = []
    for path in _content(root)[0]:
        inner = inner_folder(path)
        classes, is_flat = _content(inner)
        names = frozenset(canonical(printable(folder.name)) for folder in classes)
        found.append(Folder(printable(path.name), inner, role_of(path.name), names, is_flat))
    return found


def _content(folder: Path) -> tuple[list[Path], bool]:
    """The folders in a folder that hold photos, by name, and whether photos are in it directly."""
    folders, is_flat = [], False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(folder / entry.name)
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                is_flat = True
    return sorted(path for path in folders if _holds_photo(path)), is_flat


def _holds_photo(folder: Path) -> bool:
    return any(path.suffix.lower() in EXTENSIONS for path in walk(folder))


def _count(folder: Folder) -> int:
    return sum(path.suffix.lower() in EXTENSIONS for path in walk(folder.path))


def _alike(folders: Sequence[Folder], root: Path, option: str) -> list[Folder]:
    """The folders that are splits of the same classes; none where the folders are classes."""
    holders = [folder for folder in folders if len(folder.classes) > 1]
    if not holders:
        return []
    training = [folder for folder in holders if folder.role == TRAIN]
    base = max(training or holders, key=lambda folder: len(folder.classes))
    if not any(folder.role in SPLITS for folder in folders):
        # No name says that they are splits, so the folders must: all share most of their folders.
        is_inverse = all(role_of(name) in SPLITS for name in base.classes)
        alike = len(folders) > 1 and all(_share(folder, base) for folder in folders)
        return list(folders) if alike and not is_inverse else []
    group = [
        folder
        for folder in folders
        if folder is base
        or (folder.role in SPLITS and folder.classes & base.classes)
        or _share(folder, base)
    ]
    if len(group) > 1 and any(folder.role in SPLITS for folder in group):
        if sum(not folder.role for folder in group) > 1:
            raise _ambiguous(root, option, group)
        return group
    others = [folder for folder in folders if folder is not base]
    is_lone = all(folder.role and len(folder.classes) < 2 for folder in others)
    return [base] if base.role == TRAIN and others and is_lone else []


def _share(folder: Folder, base: Folder) -> bool:
    """True where two folders have two sub-folders or more, and half of all, in common."""
    common = len(folder.classes & base.classes)
    return common > 1 and 2 * common >= len(folder.classes | base.classes)


def _by_name(group: Sequence[Folder], root: Path, option: str) -> tuple[Folder, Folder | None, str]:
    """The training and the validation split, and how the choice was made."""
    of = {role: [folder for folder in group if folder.role == role] for role in (*SPLITS, "")}
    how = ""
    if not of[TRAIN] and of[""]:
        of[TRAIN] = [of[""].pop()]
        how = f"; {of[TRAIN][0].name} is the one whose name does not tell"
    if not of[VAL] and of[""]:
        of[VAL] = of[""]
        how = f"; {of[VAL][0].name} is the one whose name does not tell"
    if len(of[TRAIN]) != 1 or len(of[VAL]) > 1:
        raise _ambiguous(root, option, group)
    if not of[VAL] and len(of[TEST]) == 1:
        of[VAL] = of[TEST]
        how += ", as there is no other"
    return of[TRAIN][0], of[VAL][0] if of[VAL] else None, how


def _by_size(group: Sequence[Folder], root: Path, option: str) -> tuple[Folder, Folder | None, str]:
    """Likewise, where no name says it: the largest is for training, the next for validation."""
    counts = {folder.name: _count(folder) for folder in group}
    first, second, *_ = sorted(group, key=lambda folder: -counts[folder.name])
    if counts[first.name] < CLEARLY_LARGER * counts[second.name]:
        raise _ambiguous(root, option, group)
    sizes = f"{counts[first.name]} and {counts[second.name]} photos"
    return first, second, f", by their sizes ({sizes}), as their names do not tell"


def _ambiguous(root: Path, option: str, group: Sequence[Folder]) -> UsageError:
    counts = Counter(name for folder in group for name in folder.classes)
    shared = sorted(name for name, count in counts.items() if count > 1)
    named = ", ".join(f"{folder.name} ({_count(folder)} photos)" for folder in group[:5])
    ordered = sorted(group, key=lambda folder: (folder.role != TRAIN, -_count(folder)))
    first, second = (folder.path for folder in ordered[:2])
    hint = f"--data {first} --val {second}, say"
    if not all(folder.role in SPLITS for folder in group):
        hint += "; if they are classes, give their folders names that differ from class to class"
    return UsageError(
        f"{option} {root} holds splits of the same classes, and their roles are ambiguous",
        cause=f"{named} have the folders {', '.join(shared[:5])} in common",
        hint=hint,
    )


def _no_classes(root: Path, option: str, folders: Sequence[Folder]) -> UsageError:
    names = ", ".join(folder.name for folder in folders)
    holder = max(folders, key=lambda folder: (folder.role == TRAIN, len(folder.classes)))
    hint = "put the photos of each class into a folder named after the class, in each split"
    if len(holder.classes) > 1:
        hint = f"{option} {holder.path}"
    return UsageError(
        f"{option} {root} holds the folders {names}, which look like splits, not like classes",
        cause="they have no class folder in common",
        hint=hint,
    )
