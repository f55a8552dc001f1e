"""What was deployed, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


Check = Callable[[Path], str]  # is given the bundle's model, and says what a phone made of it


@dataclass(frozen=True)
class Deployed:
    """What was put where.

    Attributes:
        host: what messages call the machine.
        folder: where the files are on it.
        files: their paths in the folder.
        checked: what was tried there, in words.
        command: what a user types to classify a photo; None for an Android bundle.
        labels_note: how the file's labels differ from its output; None where they fit.
    """

    host: str
    folder: str
    files: tuple[str, ...]
    checked: str
    command: str | None
    labels_note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "files": list(self.files)}
