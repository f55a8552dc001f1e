"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from edgekit.paths import StrPath


def write_bytes(path: StrPath, contents: bytes) -> None:
    """Writes to a temporary name in the same folder, then renames."""
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(contents)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: StrPath, value: Any) -> None:
    """Writes a value as indented JSON, in UTF-8."""
    path = Path(path)
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: StrPath) -> Any:
    """Reads what `write_json` wrote."""
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8"))
