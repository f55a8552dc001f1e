"""SHA-256 of the files that a run reads and writes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

BLOCK = 1 << 20


def file_hash(path: StrPath, algorithm: str = "sha256") -> str:
    """Hashes a file; returns hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    path = Path(path)
    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def hash_file(path: StrPath) -> str:
    """SHA-256 of a file that the user named, in hex.

    Raises:
        UsageError: the file cannot be read.
    """
    path = Path(path)
    try:
        return file_hash(path)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}", cause=error.strerror, hint="check the path"
        ) from error


def hash_files(paths: Sequence[StrPath]) -> str:
    """SHA-256 of a file, or of the hashes of several, such as those of a TF1 checkpoint."""
    paths = [Path(path) for path in paths]
    if len(paths) == 1:
        return hash_file(paths[0])
    return hashlib.sha256("\n".join(hash_file(path) for path in paths).encode()).hexdigest()
