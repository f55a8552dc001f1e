"""Hides packages from a process and from all that it starts, as if they were not installed."""

from __future__ import annotations

import os
from pathlib import Path


def path_without(folder: Path, *packages: str) -> str:
    """A PYTHONPATH under which no Python can import these packages.

    Args:
        folder: an empty one.
        *packages: their names.
    """
    lines = [f"sys.modules[{package!r}] = None\n" for package in packages]
    (folder / "sitecustomize.py").write_text("import sys\n" + "".join(lines))
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
