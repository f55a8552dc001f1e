"""Pascal VOC's layouts: an XML file for each photo, in a folder of its own or beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.boxes.annotations import (
    UNKNOWN,
    AnnotatedPart,
    AnnotatedPhoto,
    BoxLayout,
    Row,
)
from edgekit.data.boxes.faults import Fault
from edgekit.data.boxes.names import find_names
from edgekit.data.boxes.voc.xml_file import VocFile, read_voc_xml
from edgekit.data.class_names import check_names
from edgekit.data.folders import entries_of, walk
from edgekit.data.images import EXTENSIONS
from edgekit.data.photo_files import printable
from edgekit.data.split_folders import (
    ALL,
    SPLITS,
    TRAIN,
    folders_by_role,
    role_of,
    sub_folders,
)

_ELEMENT = "object {}"
#: Names of the folders, in the order in which they count.
_XML = ("annotations", "annotation", "xmls", "xml", "labels")
_PHOTOS = ("jpegimages", "images", "image", "imgs", "photos")
_LISTS = Path("ImageSets") / "Main"


@dataclass(frozen=True)
class _Read:
    """The files of one folder.

    Attributes:
        photos: files by their names without ending.
        files: what XML files say, likewise.
    """

    photos: Mapping[str, Path]
    files: Mapping[str, VocFile]


def find_voc_boxes(root: Path) -> BoxLayout | None:
    """Finds ``JPEGImages/`` and ``Annotations/``, or photos with XML files beside them.

    They may be in folders of splits, or be divided by the lists of ``ImageSets/Main``; in VOCdevkit
    they are in ``VOC2012/``. Classes are those of ``classes.txt``, else those of the boxes in the
    order of their names.

    Raises:
        UsageError: a file cannot be used.
    """
    inner = next((path for path in (root, *sorted(root.glob("VOC2*"))) if _has_xml(path)), root)
    folders = {ALL: inner}
    if not _has_xml(inner):
        folders = {role: path for role, path in folders_by_role(root).items() if _has_xml(path)}
    if not folders:
        return None
    read = {role: _read(folder) for role, folder in folders.items()}
    names = find_names(inner, root, *folders.values())
    found = {one.name for part in read.values() for f in part.files.values() for one in f.objects}
    labels = check_names(names.labels or sorted(found), names.source or str(root))
    parts: dict[str, AnnotatedPart] = {}
    for role, one in read.items():
        lists = _lists(inner) if role == ALL else {}
        for part, stems in lists.items():
            parts[part] = _part(one, labels, root, stems)
        if not lists:
            parts[role] = _part(one, labels, root, None)
    name = "Pascal VOC" if _folder(inner, _XML) or ALL not in parts else "photos with XML files"
    return BoxLayout(name, parts, labels, names.source or "its boxes", bool(names.labels))


def _has_xml(folder: Path) -> bool:
    """Whether a folder, or the one of annotations in it, has XML files and photos."""
    return folder.is_dir() and any(_xml_files(folder)[1]) and any(_photo_files(folder)[1])


def _xml_files(folder: Path) -> tuple[Path, Iterator[Path]]:
    """Where the XML files of a folder are, and they."""
    base, files = _files(folder, _XML)
    return base, (path for path in files if path.suffix.lower() == ".xml")


def _photo_files(folder: Path) -> tuple[Path, Iterator[Path]]:
    """Likewise its photos."""
    base, files = _files(folder, _PHOTOS)
    return base, (path for path in files if path.suffix.lower() in EXTENSIONS)


def _files(folder: Path, names: Collection[str]) -> tuple[Path, Iterable[Path]]:
    """All below the folder of one of these names, else what is in the folder itself."""
    inner = _folder(folder, names)
    if inner is not None:
        return inner, walk(inner)
    return folder, (path for path in folder.iterdir() if not path.name.startswith("."))


def _folder(folder: Path, names: Collection[str]) -> Path | None:
    """The folder in a folder that has the first of these names, in any case."""
    found = {path.name.lower(): path for path in sub_folders(folder)}
    return next((found[name] for name in names if name in found), None)


def _read(folder: Path) -> _Read:
    (photos, images), (xml, files) = _photo_files(folder), _xml_files(folder)
    return _Read(
        {_stem(path, photos): path for path in sorted(images)},
        {_stem(path, xml): read_voc_xml(path) for path in sorted(files)},
    )


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _lists(folder: Path) -> dict[str, set[str]]:
    """The names in the lists of splits, but for those of single classes (``cat_train.txt``).

    A list such as trainval.txt, which another list is part of, is left out.
    """
    lists = {
        path.stem: set(entries_of(path.read_bytes()))
        for path in sorted((folder / _LISTS).glob("*.txt"))
        if re.fullmatch(r"[A-Za-z]+\d*", path.stem) and role_of(path.stem) in SPLITS
    }
    own = {name: stems for name, stems in lists.items() if name.lower() != "trainval"}
    found: dict[str, set[str]] = {}
    for name, stems in (own or lists).items():
        if stems:
            found.setdefault(role_of(name), stems)
    if len(found) == 1 and TRAIN not in found:
        return {ALL: next(iter(found.values()))}
    return found


def _part(
    read: _Read, labels: tuple[str, ...], root: Path, chosen: Iterable[str] | None
) -> AnnotatedPart:
    """Photos with what their files say; of a list, those that it names."""
    index = {label: number for number, label in enumerate(labels)}
    stems = sorted(read.files.keys() | read.photos.keys()) if chosen is None else sorted(chosen)
    by_name = {path.name: path for path in read.photos.values()}
    used: set[Path] = set()
    photos: list[AnnotatedPhoto] = []
    faults: list[Fault] = []
    for stem in stems:
        file = read.files.get(stem)
        # A renamed photo is known by what the file says.
        path = read.photos.get(stem) or by_name.get(file.photo if file else "")
        if file is None:
            continue
        if path is None:
            faults.append(Fault("missing", printable(file.photo or stem)))
            continue
        used.add(path)
        rows = [
            Row(one.number, index.get(one.name, UNKNOWN), one.corners, one.is_difficult)
            for one in file.objects
        ]
        name = printable(Path(os.path.relpath(path, root)).as_posix())
        photos.append(AnnotatedPhoto.of(path, name, rows, file.size))
    lonely = [read.photos[stem] for stem in stems if stem in read.photos]
    faults += [
        Fault("unannotated", printable(os.path.relpath(path, root)))
        for path in lonely
        if path not in used
    ]
    return AnnotatedPart(tuple(sorted(photos, key=lambda one: one.name)), _ELEMENT, tuple(faults))
