"""SHA-256 of the files that a run reads and writes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import UsageError

BLOCK = 1 << 20


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()
    except OSError as error:
        raise UsageError(
            f"cannot read {path}", cause=error.strerror, hint="check the path"
        ) from error


def hash_files(paths: Sequence[Path]) -> str:
    """SHA-256 of a file, or of the hashes of several, such as those of a TF1 checkpoint."""
    if len(paths) == 1:
        return hash_file(paths[0])
    return hashlib.sha256("\n".join(hash_file(path) for path in paths).encode()).hexdigest()
