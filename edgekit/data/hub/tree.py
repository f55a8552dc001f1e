"""Photos laid out as folders: a split, a class, a file of each photo."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

PHOTOS = "photos"
#: What no file system, or not each, takes in a name.
_REFUSED = re.compile(r'[\x00-\x1f<>:"/\\|?*]')


@dataclass
class Tree:
    """A folder that photos are written into.

    Attributes:
        root: of it.
        count: of the photos so far.
        labels: by the name of a folder, the class that it is of.
    """

    root: Path
    count: int = 0
    labels: dict[str, str] = field(default_factory=dict)

    def write(self, split: str, label: str, ending: str, data: bytes) -> None:
        """Writes a photo.

        Raises:
            UsageError: as `copy`.
        """
        name = hashlib.sha256(data).hexdigest()[:16]
        self._place(split, label, f"{name}{ending}").write_bytes(data)

    def copy(self, split: str, label: str, ending: str, path: StrPath) -> None:
        """Puts a photo's file there, as a link where the disk allows it.

        Raises:
            UsageError: the name of its class is that of another one in the file system.
        """
        source = Path(path).resolve()
        target = self._place(split, label, f"{source.stem[:16]}{ending.lower()}")
        _link(source, target)

    def _place(self, split: str, label: str, name: str) -> Path:
        folder = _REFUSED.sub("_", label).strip(" .") or "_"
        if self.labels.setdefault(folder.casefold(), label) != label:
            other = self.labels[folder.casefold()]
            raise UsageError(
                f"the classes {other!r} and {label!r} would be one folder",
                hint="rename one of them in the data set",
            )
        within = photos_of(self.root, split) / folder
        within.mkdir(parents=True, exist_ok=True)
        self.count += 1
        # In the order of the data set, in which two photos may be alike.
        return within / f"{self.count:08d}-{name}"


def photos_of(root: StrPath, split: str | None) -> Path:
    """The folder of a split's photos, or of all splits."""
    photos = Path(root) / PHOTOS
    return photos if split is None else photos / _REFUSED.sub("_", split)


def _link(source: Path, target: Path, link: Callable[[Path, Path], None] = os.link) -> None:
    try:
        link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
