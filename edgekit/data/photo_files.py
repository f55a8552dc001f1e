"""Photos on disk: what a listing of them holds, and those that were read, served by index."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.images import Shrink, UnreadableImageError, decode_image
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.system.quoting import quote_path, unquote_path

if TYPE_CHECKING:
    from typing_extensions import Self

Source: TypeAlias = StrPath
"""What a user names: a folder, a list, shards, or a command that prints one."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


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

    def has_hash(self, known: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Returns of each photo whether its hash is one of these."""
        held = set(known)
        return np.array([content in held for content in self.hashes], bool)

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
    files: Sequence[PhotoFile]
    warnings: tuple[str, ...] = ()
    numbered: bool = False

    def classes(self) -> tuple[str, ...]:
        """Returns the names of the classes in the order of their indices."""
        return tuple(sorted(self.label_counts(), key=int if self.numbered else str))

    def label_counts(self) -> Counter[str]:
        """Returns how many photos have each label, in the order in which labels come first."""
        return Counter(file.label for file in self.files)

    def labels_by_upper_folder(self) -> dict[str, set[str]]:
        """Returns the labels of photos by the folder above that of their class, where one is."""
        labels: dict[str, set[str]] = defaultdict(set)
        for file in self.files:
            if above := file.name.split("/")[:-2]:
                labels[above[-1]].add(file.label)
        return labels

    def relabelled(self, known: Mapping[str, str]) -> Self:
        """Returns the listing with ``known[label]`` as the label of each photo."""
        files = tuple(replace(file, label=known[file.label]) for file in self.files)
        return replace(self, files=files)

    def take(self, indices: npt.NDArray[np.int64]) -> Self:
        """Returns the listing with the photos at these indices, in this order."""
        return replace(self, files=tuple(self.files[i] for i in indices.tolist()))

    def ends(self) -> tuple[Sequence[str], npt.NDArray[np.int64]] | None:
        """Returns what tells each photo from others by its size and end, where these were read.

        With it, the indices of the photos that are empty; see `edgekit.data.scan.skim`.
        """
        return None

    def photo_set(
        self, labels: Sequence[str], hashes: Sequence[str], *, checked: bool = True
    ) -> HashedPhotos:
        """Returns the photos as a set; the class of a label that is not in ``labels`` is -1."""
        index = {label: i for i, label in enumerate(labels)}
        numbers = np.array([index.get(file.label, -1) for file in self.files], np.int64)
        places = tuple(file.place for file in self.files)
        names = tuple(file.name for file in self.files)
        return FilePhotos(places, names, numbers, tuple(hashes), checked=checked)


def reason_of(error: OSError | UnreadableImageError) -> str:
    """Returns what is wrong with a file, in a few words."""
    if isinstance(error, UnreadableImageError):
        return error.reason
    return error.strerror or type(error).__name__


def printable(text: str) -> str:
    """Spells bytes that are not UTF-8 out, so that no message or file ever fails on a name."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
