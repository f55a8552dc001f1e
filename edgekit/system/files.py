"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from edgekit.system.paths import StrPath


@contextlib.contextmanager
def replace_whole(path: StrPath) -> Iterator[Path]:
    """Gives a temporary name in the same folder, for others to write to; renames it at the end.

    Where the block raises, there is no file, or the one that was there before.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def open_whole(path: StrPath) -> Iterator[BinaryIO]:
    """Opens the temporary name of `replace_whole`, to write and read."""
    with replace_whole(path) as temporary, temporary.open("w+b") as stream:
        yield stream


def write_bytes(path: StrPath, contents: bytes) -> None:
    """Writes to a temporary name in the same folder, then renames."""
    with open_whole(path) as stream:
        stream.write(contents)


def write_json(path: StrPath, value: Any) -> None:
    """Writes a value as indented JSON, in UTF-8."""
    path = Path(path)
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: StrPath) -> Any:
    """Reads what `write_json` wrote."""
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8"))


def cache_folder() -> Path:
    """Where fetched weights lie: ``weights`` in EDGEKIT_CACHE or in the user's cache folder."""
    if chosen := os.environ.get("EDGEKIT_CACHE"):
        return Path(chosen).expanduser() / "weights"
    from platformdirs import user_cache_path

    return user_cache_path("edgekit", appauthor=False) / "weights"
