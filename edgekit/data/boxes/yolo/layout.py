"""YOLO's layouts: a text file for each photo, in ``labels/`` where the photo is in ``images/``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from edgekit.data.boxes.annotations import AnnotatedPart, AnnotatedPhoto, BoxLayout
from edgekit.data.boxes.faults import Fault
from edgekit.data.boxes.names import NAMES, ClassNames, find_names
from edgekit.data.boxes.yolo.labels import read_yolo_labels
from edgekit.data.boxes.yolo.yaml_file import YoloYaml, read_yolo_yaml
from edgekit.data.class_names import check_names
from edgekit.data.folders import entries_of, walk
from edgekit.data.images import EXTENSIONS
from edgekit.data.photo_files import printable
from edgekit.data.split_folders import ALL, TEST, TRAIN, VAL, folders_by_role
from edgekit.errors import UsageError

_ELEMENT = "line {}"
_ROLES = {"train": TRAIN, "val": VAL, "test": TEST}
_PHOTOS, _LABELS = "images", "labels"
#: Of a data set without names: the highest class index must be below.
_MOST_CLASSES = 10_000


def find_yolo_boxes(root: Path) -> BoxLayout | None:
    """Finds ``data.yaml``, or ``images/`` and ``labels/``, or photos with text files beside them.

    ``images/`` and ``labels/`` may hold folders of splits, or be in such. Photos with text files
    beside them need a file of the classes, such as ``classes.txt``.

    Raises:
        UsageError: a file cannot be used.
    """
    tables = [path for path in sorted(root.glob("*.y*ml")) if path.suffix in (".yaml", ".yml")]
    known = [path for path in tables if b"names" in path.read_bytes()]
    if len(known) > 1:
        known = [path for path in known if path.stem == "data"] or known
    if len(known) == 1:
        return read_yolo(known[0])
    if known:
        raise UsageError(
            f"{root} has {len(known)} files that name classes and photos",
            cause=", ".join(path.name for path in known),
            hint="give one of them",
        )
    folders = _folders(root)
    if not folders:
        return None
    names = find_names(root, root / _LABELS, *folders.values())
    files = {role: _photos_in(folder) for role, folder in folders.items()}
    return _layout("YOLO's labels", root, files, names)


def read_yolo(path: Path) -> BoxLayout:
    """Reads a ``data.yaml`` and the files that it names.

    Raises:
        UsageError: a file cannot be used.
    """
    table = read_yolo_yaml(path)
    names = ClassNames(check_names(table.names, str(path)), str(path))
    files = {
        _ROLES[key]: [file for entry in entries for file in _named(path, table, key, entry)]
        for key, entries in table.photos.items()
    }
    if not files:
        files = {role: _photos_in(folder) for role, folder in _folders(path.parent).items()}
    if not files:
        raise UsageError(
            f"{path} names no photos",
            cause="it has neither train nor val, and no folder images/ is beside it",
            hint="write 'train: images/train' and 'val: images/val', say",
        )
    return _layout("YOLO", path.parent, files, names)


def _named(path: Path, table: YoloYaml, key: str, entry: str) -> Iterator[Path]:
    """The photos of a folder or list that the table names.

    Roboflow's tables name '../train/images' for what is beside them.
    """
    bases = [path.parent / table.path, path.parent, path.parent / Path(table.path).name]
    tried = [base / name for name in (entry, entry.removeprefix("../")) for base in bases]
    place = next((Path(os.path.abspath(one)) for one in tried if one.exists()), None)
    if place is None:
        raise UsageError(
            f"{path} names photos that are missing",
            cause=f"{key}: {printable(entry)}, which is not in {bases[0]}",
            hint="correct 'path' or the entry",
        )
    if place.is_dir():
        yield from _photos_in(place)
        return
    for line in entries_of(place.read_bytes()):
        roots = (place.parent, *bases)
        yield next((root / line for root in roots if (root / line).exists()), place.parent / line)


def _folders(root: Path) -> dict[str, Path]:
    """Folders of photos whose labels are where YOLO looks for them, by role."""
    photos, labels = root / _PHOTOS, root / _LABELS
    within = {
        role: folder / _PHOTOS
        for role, folder in folders_by_role(root).items()
        if (folder / _PHOTOS).is_dir() and _has_labels(folder / _LABELS)
    }
    if within:
        return within
    if photos.is_dir() and _has_labels(labels):
        return folders_by_role(photos) or {ALL: photos}
    # Photos and labels in one folder: any text beside photos could be that, but for the classes.
    folders = {**folders_by_role(root), ALL: root}
    beside = {role: folder for role, folder in folders.items() if _is_side_by_side(folder)}
    named = find_names(root, *beside.values()).labels if beside else ()
    splits = {role: folder for role, folder in beside.items() if role != ALL} or beside
    return splits if named else {}


def _has_labels(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() == ".txt" for path in walk(folder))


def _is_side_by_side(folder: Path) -> bool:
    stems = {path.stem for path in folder.glob("*.txt") if path.name not in NAMES}
    return any(p.suffix.lower() in EXTENSIONS and p.stem in stems for p in folder.iterdir())


def _photos_in(folder: Path) -> list[Path]:
    return sorted(path for path in walk(folder) if path.suffix.lower() in EXTENSIONS)


def _layout(
    name: str, root: Path, files: Mapping[str, Sequence[Path]], names: ClassNames
) -> BoxLayout:
    count = len(names.labels) or _MOST_CLASSES
    parts = {role: _part(root, paths, count) for role, paths in files.items()}
    labels = names.labels
    notes: tuple[str, ...] = ()
    if not labels:
        used = [one.classes.max(initial=-1) for part in parts.values() for one in part.photos]
        labels = tuple(f"class{index}" for index in range(max(used, default=-1) + 1))
        notes = (
            f"no file names the classes: they are class0 to class{len(labels) - 1}; a data.yaml "
            "or a classes.txt with a name a line names them",
        )
    return BoxLayout(name, parts, labels, names.source or "its labels", True, notes)


def _part(root: Path, paths: Iterable[Path], classes: int) -> AnnotatedPart:
    """Photos with their boxes; one without a file of labels has none, as YOLO takes it."""
    photos, faults = [], []
    for path in dict.fromkeys(paths):
        name = printable(Path(os.path.relpath(path, root)).as_posix())
        labels = _labels_of(path)
        if not path.is_file():
            faults.append(Fault("missing", name))
            continue
        rows = read_yolo_labels(labels, classes) if labels.is_file() else []
        photos.append(AnnotatedPhoto.of(path, name, rows, is_relative=True))
    return AnnotatedPart(tuple(sorted(photos, key=lambda one: one.name)), _ELEMENT, tuple(faults))


def _labels_of(photo: Path) -> Path:
    """Where the labels of a photo are: in ``labels/`` for the last ``images/``, else beside it."""
    parts = list(photo.with_suffix(".txt").parts)
    if _PHOTOS in parts[:-1]:
        place = len(parts) - 2 - parts[-2::-1].index(_PHOTOS)
        other = Path(*parts[:place], _LABELS, *parts[place + 1 :])
        if other.is_file() or not photo.with_suffix(".txt").is_file():
            return other
    return photo.with_suffix(".txt")
