"""Finding photos: those of a folder of class folders, and those that a text file lists."""

from __future__ import annotations

import mimetypes
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from unicodedata import normalize

from edgekit.data.images import EXTENSIONS
from edgekit.data.photo_files import Listing, PhotoFile, Source, printable
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

_KINDS = "JPEG, PNG, WebP or BMP"
_CLASS_FOLDERS = "put the photos of each class into a folder named after the class"


def list_photos(
    source: Source, option: str, *, also_in: StrPath | None = None, classes: bool = True
) -> Listing:
    """Finds the photos of a folder of class folders, or of a text file of paths.

    Args:
        source: the folder or the text file. In a folder, the first level names the class, hidden
            files are left out and symbolic links are followed. In a text file, each line is a path;
            blank lines and lines that begin with # are left out; the class is the name of the
            photo's folder.
        option: how the user named the source, for messages ('--data').
        also_in: where a list's relative paths are looked up after the list's own folder.
        classes: whether photos outside of class folders are left out; otherwise they have no class.

    Raises:
        UsageError: there is no such folder or file, or no photo in it.
    """
    also_in = Path(also_in) if also_in is not None else None
    root = Path(os.path.abspath(source))
    try:
        if root.is_dir():
            return _list_folder(root, option, classes)
        if root.exists():
            return _list_file(root, option, also_in)
    except OSError as error:
        raise UsageError(f"{option} {source} cannot be read", cause=str(error)) from error
    raise UsageError(
        f"{option} {source} does not exist",
        hint="check the path; without --data, a built-in dataset is used",
    )


def _list_folder(root: Path, option: str, classes: bool) -> Listing:
    found = sorted(walk(root))
    photos = [path for path in found if path.suffix.lower() in EXTENSIONS]
    if not photos:
        raise _no_photo(root, option, found)
    files = [_photo(path, root) for path in photos]
    files.sort(key=lambda file: file.name)
    if not classes:
        return Listing(root, tuple(files), tuple(_left_out(root, found)))
    inside = tuple(file for file in files if file.label)
    if not inside:
        raise UsageError(
            f"{option} {root} holds {len(files)} photos, but no class folders", hint=_CLASS_FOLDERS
        )
    names = {file.label for file in inside}
    warnings = [*_left_out(root, found), *_empty_folders(root, names)]
    if len(inside) < len(files):
        warnings.append(f"{len(files) - len(inside)} photos in {root} are in no class folder")
    return Listing(root, inside, tuple(warnings))


def _list_file(source: Path, option: str, also_in: Path | None) -> Listing:
    data = source.read_bytes()
    if source.suffix.lower() in EXTENSIONS or b"\0" in data:
        raise UsageError(
            f"{option} {source} is neither a folder nor a text file of paths",
            hint=f"give a folder of class folders to {option}, or a text file with a path a line",
        )
    entries = entries_of(data)
    if not entries:
        raise UsageError(f"{option} {source} lists no photo", hint="write one path a line")
    roots = [source.parent, *([also_in] if also_in else [])]
    files: dict[Path, PhotoFile] = {}
    missing = 0
    for entry in entries:
        root, name = _find(entry, roots)
        missing += root is None
        path = Path(os.path.abspath((root or roots[0]) / name))
        files[path] = _photo(path, root or roots[0], label=path.parent.name)
    if missing == len(entries):
        looked = " and in ".join(map(str, roots))
        raise UsageError(
            f"none of the {missing} photos that {option} {source} lists exists",
            cause=f"{shorten(printable(entries[0]), 100)} was looked for in {looked}",
            hint="paths in a list are relative to the list's own folder or to the --data folder",
        )
    return Listing(source, tuple(sorted(files.values(), key=lambda file: file.name)))


def _find(entry: str, roots: Sequence[Path]) -> tuple[Path | None, str]:
    """Where a photo of a list is, and its name there: a list may have the other form of an 'é'."""
    for root in roots:
        for name in (entry, normalize("NFC", entry), normalize("NFD", entry)):
            if os.path.exists(root / name):
                return root, name
    return None, entry


def entries_of(text: bytes) -> list[str]:
    """Returns the lines of a list, each once, but for blank ones and those that begin with #."""
    # `str.splitlines` would also break at characters that a name may hold.
    found = re.split(r"\r\n|\r|\n", os.fsdecode(text.removeprefix(b"\xef\xbb\xbf")))
    lines = [line.strip() for line in found]
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def walk(folder: StrPath, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yields the files below a folder, but for hidden ones and links back to a folder above."""
    folder = Path(folder)
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from walk(path, above | {real})
        elif path.is_file() or path.is_symlink():  # a dangling link is a photo that is missing
            yield path


def _photo(path: Path, root: Path, label: str | None = None) -> PhotoFile:
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    if label is None:
        label = relative.parts[0] if len(relative.parts) > 1 else ""
    return PhotoFile(path, printable(relative.as_posix()), printable(label))


def _no_photo(root: Path, option: str, found: Sequence[Path]) -> UsageError:
    if not found:
        return UsageError(f"{option} {root} is empty", hint=_CLASS_FOLDERS)
    kinds = Counter(path.suffix.lower() or "no suffix" for path in found).most_common(5)
    shards = sorted({path.parent for path in found if path.suffix.lower() == ".tar"})
    return UsageError(
        f"{option} {root} holds no photo",
        cause=f"its {len(found)} files are no {_KINDS}: "
        + ", ".join(f"{printable(suffix)} ({count})" for suffix, count in kinds),
        hint=f"{option} {shards[0]}" if shards else _CLASS_FOLDERS,
    )


def _left_out(root: Path, found: Sequence[Path]) -> Iterator[str]:
    suffixes = {path.suffix.lower() for path in found} - EXTENSIONS
    other = {s for s in suffixes if (mimetypes.guess_type("x" + s)[0] or "").startswith("image/")}
    count = sum(path.suffix.lower() in other for path in found)
    if count:
        kinds = ", ".join(sorted(other))
        yield f"{count} images in {root} are left out: {kinds} is not {_KINDS}"


def _empty_folders(root: Path, names: set[str]) -> Iterator[str]:
    folders = {printable(p.name) for p in root.iterdir() if p.is_dir() and p.name[:1] != "."}
    empty = sorted(folders - names)
    if empty:
        yield f"{len(empty)} folders without a photo are no classes: {', '.join(empty[:5])}"
