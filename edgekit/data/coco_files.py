"""COCO's layout: JSON files of annotations, what boxes and masks read of them, and the photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from edgekit.data.photo_files import printable
from edgekit.data.split_folders import ALL, SPLITS, folders_by_role, role_of, sub_folders
from edgekit.errors import UsageError

#: Words that the names of COCO's files begin with.
KINDS = ("panoptic", "stuff", "instances")
#: Those of its files that have neither masks nor the boxes of all things.
_OTHERS = ("captions", "person_keypoints", "image_info")


class CocoCategory(Struct, frozen=True):
    """A class; the ids may have gaps."""

    id: int
    name: str


class CocoPhoto(Struct, frozen=True):
    """A photo: its file's name in a folder that the file does not say, and its size in pixels."""

    id: int | str
    file_name: str
    width: float | None = None
    height: float | None = None


Element = TypeVar("Element")


class CocoRecord(Struct, Generic[Element], frozen=True):
    """A whole file, of any kind of annotations."""

    images: tuple[CocoPhoto, ...]
    annotations: tuple[Element, ...]
    categories: tuple[CocoCategory, ...]


@dataclass(frozen=True)
class CocoFile:
    """A JSON file.

    Attributes:
        path: the file.
        kind: one of `KINDS`, or 'other'.
        role: of the photos in it.
    """

    path: Path
    kind: str
    role: str


def find_coco_files(root: Path) -> Iterator[CocoFile]:
    """Yields the files in ``annotations/``, beside the photos, and in the folders of splits."""
    folders = {root / "annotations": ALL, root: ALL}
    folders |= {folder: role for role, folder in folders_by_role(root).items()}
    for folder, above in folders.items():
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            if path.name.startswith((*_OTHERS, ".")):
                continue
            kind = next((kind for kind in KINDS if path.name.startswith(kind)), "other")
            if kind == "other" and not _is_coco(path):
                continue
            role = role_of(path.stem)
            yield CocoFile(path, kind, role if role in SPLITS else above)


def _is_coco(path: Path) -> bool:
    """Whether a file of another name is such, by its first and last bytes."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        text = start + file.read()
    return b'"annotations"' in text or b'"images"' in text or b'"categories"' in text


def by_role(files: Sequence[CocoFile], root: Path, what: str) -> dict[str, CocoFile]:
    """Returns the files by their roles.

    Args:
        files: some of `find_coco_files`.
        root: the folder, for messages.
        what: they have of photos, likewise.

    Raises:
        UsageError: two have the same.
    """
    found: dict[str, CocoFile] = {}
    for file in files:
        if file.role in found:
            raise UsageError(
                f"two files have {what} of the same photos in {root}",
                cause=f"{found[file.role].path.name} and {file.path.name}",
                hint="move one of them elsewhere",
            )
        found[file.role] = file
    return found


def find_photo_folder(
    root: Path, file: Path, names: Sequence[str], given: Path | None = None
) -> Path:
    """Returns the folder in which most of a file's first photos are.

    Args:
        root: the data set.
        file: one of its JSON files.
        names: of the photos in it.
        given: where the user says that they are; it counts before the others.

    Raises:
        UsageError: there is none.
    """
    around = (given, file.parent, root, root / "images")
    above = [folder for folder in around if folder is not None and folder.is_dir()]
    folders = above + [sub for folder in above for sub in sub_folders(folder)]
    first = list(names)[:20]
    found = {folder: sum((folder / name).is_file() for name in first) for folder in folders}
    best = max(found, key=lambda folder: (found[folder], file.stem.endswith(folder.name)))
    if not found[best]:
        raise UsageError(
            f"the photos of {file} are missing",
            cause=f"{printable(first[0])} is in none of {len(found)} folders of {given or root}"
            if first
            else "it names none",
            hint="put the photos into a folder beside it, named after the file: train2017/ for "
            "instances_train2017.json",
        )
    return best
