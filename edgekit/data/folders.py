"""Photos on disk: finding them in folders and lists, reading each once, serving them by index."""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.images import EXTENSIONS, Shrink, UnreadableImageError, decode_image
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.system.quoting import quote_path, unquote_path

if TYPE_CHECKING:
    from typing_extensions import Self

Source: TypeAlias = StrPath
"""What a user names: a folder, a list, shards, or a command that prints one."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""

_KINDS = "JPEG, PNG, WebP or BMP"
_CLASS_FOLDERS = "put the photos of each class into a folder named after the class"


class Span(NamedTuple):
    """The part of a file that is a photo: a member of a tar.

    Attributes:
        path: the file.
        offset: where the photo begins, in bytes.
        size: its length in bytes.
    """

    path: Path
    offset: int
    size: int

    def read_bytes(self) -> bytes:
        """Reads it; threads may do so at once.

        The file is opened for each photo: that costs microseconds, a hundredth of decoding it, and
        any number of tars can be read without a descriptor being shared, kept or closed too early.

        Raises:
            OSError: the file cannot be read, or has become shorter.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise OSError(errno.EIO, "the file has become shorter")
        return data


Place = Path | Span
"""Where the bytes of a photo lie; both have `read_bytes`."""


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """What is taken for a photo: where it is, its printable name, its class ('' if none)."""

    place: Place
    name: str
    label: str

    @property
    def path(self) -> Path:
        """The file in which it is."""
        return self.place.path if isinstance(self.place, Span) else self.place


@dataclass(frozen=True)
class Listing:
    """The photos of a folder, a list or shards, sorted by name, and what was left out.

    Attributes:
        source: where they are from, for messages.
        files: the photos.
        warnings: what was left out, a sentence each.
        numbered: whether all classes are integers, to be sorted as such.
    """

    source: Path | str
    files: tuple[PhotoFile, ...]
    warnings: tuple[str, ...] = ()
    numbered: bool = False

    def classes(self) -> tuple[str, ...]:
        """Returns the names of the classes in the order of their indices."""
        return tuple(sorted({file.label for file in self.files}, key=int if self.numbered else str))


class UnreadablePhotoError(UsageError):
    """A photo that nothing had decoded before; training goes on without it."""


@dataclass(frozen=True, eq=False)
class HashedPhotos:
    """Photos on disk that were read once: what every `PhotoSet` of files shares.

    Attributes:
        places: where each photo lies, absolute.
        names: printable paths relative to what named them.
        labels: int64 [n], the class index, -1 where it is not known.
        hashes: what tells each photo's contents from others', in hex: the SHA-256 of its bytes,
            or of a part of them; see `edgekit.data.scan`.
        checked: whether all of them were decoded once. Of those that were not, one may turn out
            to be damaged.
    """

    places: Sequence[Place]
    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    hashes: Sequence[str]
    checked: bool = field(default=True, kw_only=True)

    def __len__(self) -> int:
        return len(self.places)

    def load(self, index: int, shrink: Shrink | None = None) -> Image.Image:
        """Decodes one photo: mode RGB, upright, smaller if ``shrink`` allows it (see `decode`).

        Raises:
            UnreadablePhotoError: it cannot be read, and was not checked.
            UsageError: the file has vanished or was damaged since it was scanned.
        """
        try:
            return decode_image(self.places[index].read_bytes(), shrink)
        except (OSError, UnreadableImageError) as error:
            if not self.checked:
                raise UnreadablePhotoError(
                    f"the photo {self.names[index]} cannot be read",
                    cause=reason_of(error),
                    hint="repair or remove it",
                ) from error
            raise UsageError(
                f"the photo {self.names[index]} cannot be read any more",
                cause=reason_of(error),
                hint="put it back, or run again: the photos are then scanned anew",
            ) from error

    def label(self, index: int) -> Any:
        """Returns the class index of one photo, int64; -1 where it is not known."""
        return self.labels[index]

    def digest(self) -> str:
        """Returns the SHA-256 over names, labels and contents, in hex."""
        digest = hashlib.sha256()
        for name, label, content in zip(self.names, self.labels, self.hashes, strict=True):
            digest.update(f"{name}\0{label}\0{content}\n".encode())
        return digest.hexdigest()

    def subset(self, indices: Sequence[int]) -> Self:
        """Returns the photos at these indices, in this order."""
        return replace(
            self,
            places=tuple(self.places[i] for i in indices),
            names=tuple(self.names[i] for i in indices),
            labels=self.labels[np.asarray(indices, np.int64)],
            hashes=tuple(self.hashes[i] for i in indices),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values, in columns."""
        return {
            "names": list(self.names),
            "labels": self.labels.tolist(),
            "sha256": list(self.hashes),
        } | self._unchecked()

    def _unchecked(self) -> dict[str, Any]:
        """What a record has more where photos were not checked."""
        return {} if self.checked else {"checked": False}

    @classmethod
    def from_columns(cls, places: Iterable[Place], record: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote, but for the places."""
        names, hashes = tuple(record["names"]), tuple(record["sha256"])
        labels, checked = np.array(record["labels"], np.int64), record.get("checked", True)
        return cls(tuple(places), names, labels, hashes, checked=checked)


class FilePhotos(HashedPhotos):
    """Photos that are files of their own."""

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values, in columns."""
        paths = [str(place) for place in self.places]
        root = os.path.commonpath([os.path.dirname(p) for p in paths]) if paths else "/"
        relative = [quote_path(os.path.relpath(path, root)) for path in paths]
        return {"kind": "files", "root": quote_path(root), "paths": relative} | super().to_dict()

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FilePhotos:
        """Reads what `to_dict` wrote; the files are not looked at."""
        root = Path(unquote_path(record["root"]))
        return cls.from_columns((root / unquote_path(path) for path in record["paths"]), record)


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


def reason_of(error: OSError | UnreadableImageError) -> str:
    """Returns what is wrong with a file, in a few words."""
    if isinstance(error, UnreadableImageError):
        return error.reason
    return error.strerror or type(error).__name__


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


def printable(text: str) -> str:
    """Spells bytes that are not UTF-8 out, so that no message or file ever fails on a name."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
