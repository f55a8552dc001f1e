"""COCO's layout: the masks of a data set in one JSON file, of panoptic, stuff or instance kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgekit.data.folders import Progress, printable
from edgekit.data.masks.coco_masks import Rendered, render
from edgekit.data.masks.layouts import ALL, Classes, Layout, Part, folders_by_role, sub_folders
from edgekit.data.split_folders import SPLITS, role_of
from edgekit.errors import UsageError

#: Words that the names of COCO's files begin with, and those of its files without masks.
KINDS = ("panoptic", "stuff", "instances")
_OTHERS = ("captions", "person_keypoints", "image_info")


@dataclass(frozen=True)
class _File:
    """A JSON file.

    Attributes:
        path: the file.
        kind: one of `KINDS`, or 'other'.
        role: of the photos in it.
    """

    path: Path
    kind: str
    role: str


def find_coco(root: Path, progress: Progress | None = None) -> Layout | None:
    """Finds JSON files in ``annotations/``, beside the photos, or in the folders of splits.

    Of several for one split, panoptic counts before stuff, and stuff before instances. The masks
    are drawn once, as PNG files in the user's cache folder.

    Args:
        root: the folder.
        progress: called with ('masks', done, total) as they are drawn.

    Raises:
        UsageError: a file is not COCO's, its photos are missing, or two files have one split.
        MissingToolError: polygons need a library that is not installed.
    """
    files = list(_json_files(root))
    if not files:
        return None
    kind = next(kind for kind in (*KINDS, "other") if any(file.kind == kind for file in files))
    chosen = _by_role(root, [file for file in files if file.kind == kind])
    rendered = {role: render(file.path, kind, progress) for role, file in chosen.items()}
    labels = next(iter(rendered.values())).labels
    if any(one.labels != labels for one in rendered.values()):
        raise UsageError(
            f"the JSON files of {root} have different categories",
            cause=", ".join(file.path.name for file in chosen.values()),
            hint="give each file the same categories",
        )
    parts = {role: _part(root, chosen[role].path, one) for role, one in rendered.items()}
    others = sorted({file.kind for file in files} - {kind})
    notes = (f"its {kind} files are read, not {' or '.join(others)}",) if others else ()
    names = ", ".join(file.path.name for file in chosen.values())
    return Layout(f"COCO, {kind}", parts, Classes(labels, source=names), notes)


def _json_files(root: Path) -> Iterator[_File]:
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
            yield _File(path, kind, role if role in SPLITS else above)


def _is_coco(path: Path) -> bool:
    """Whether a file of another name is such, by its first and last bytes."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        text = start + file.read()
    return b'"annotations"' in text or b'"images"' in text or b'"categories"' in text


def _by_role(root: Path, files: Sequence[_File]) -> dict[str, _File]:
    found: dict[str, _File] = {}
    for file in files:
        if file.role in found:
            raise UsageError(
                f"two files have masks of the same photos in {root}",
                cause=f"{found[file.role].path.name} and {file.path.name}",
                hint="move one of them elsewhere",
            )
        found[file.role] = file
    return found


def _part(root: Path, file: Path, rendered: Rendered) -> Part:
    """The photos that a file names, and their masks."""
    folder = _photo_folder(root, file, rendered.masks)
    photos, masks = {}, {}
    for name, mask in rendered.masks.items():
        stem = printable(PurePosixPath(name).with_suffix("").as_posix())
        if (folder / name).is_file():
            photos[stem] = folder / name
            masks[stem] = mask
    return Part(photos, masks, is_chosen=True)


def _photo_folder(root: Path, file: Path, names: Mapping[str, Path]) -> Path:
    """The folder in which most of a file's first photos are.

    Raises:
        UsageError: there is none.
    """
    above = [folder for folder in (file.parent, root, root / "images") if folder.is_dir()]
    folders = above + [sub for folder in above for sub in sub_folders(folder)]
    first = list(names)[:20]
    found = {folder: sum((folder / name).is_file() for name in first) for folder in folders}
    best = max(found, key=lambda folder: (found[folder], file.stem.endswith(folder.name)))
    if not found[best]:
        raise UsageError(
            f"the photos of {file} are missing",
            cause=f"{printable(first[0])} is in none of {len(found)} folders of {root}"
            if first
            else "it names none",
            hint="put the photos into a folder beside it, named after the file: train2017/ for "
            "instances_train2017.json",
        )
    return best
