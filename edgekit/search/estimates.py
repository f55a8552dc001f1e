"""What a file needs on a chip, kept in the user's cache by all that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from edgekit.system.files import cache_folder, read_json, write_json
from edgekit.system.hashing import file_hash
from edgekit.targets.base import Target
from edgekit.targets.executions import ChipFigures
from edgekit.version import __version__

#: Of the files that candidates are written as.
ENDING = ".tflite"
#: Says what a file needs on a chip.
Estimate = Callable[[Path, Target], ChipFigures]
#: Changes where what is kept means something else.
SCHEMA_VERSION = 1


def estimates_folder() -> Path:
    """Where they are kept: beside the fetched weights."""
    return cache_folder().parent / "estimates"


def estimate(path: Path, target: Target, folder: Path | None = None) -> ChipFigures:
    """Returns `Target.estimate` of a file, from the cache where the same was asked before.

    Only what makers' tools say is kept: a host that is measured is not the same the next time,
    and what we predict ourselves takes no time.

    Args:
        path: of the file.
        target: with its options.
        folder: of the cache; the user's by default.

    Raises:
        EdgekitError: as `Target.estimate`; what failed is asked again the next time.
    """
    if not target.toolchains:
        return target.estimate(path)
    kept = (folder or estimates_folder()) / f"{key(path, target)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return ChipFigures(**read_json(kept)["figures"])
    found = target.estimate(path)
    with suppress(OSError):  # a cache that cannot be written costs time and nothing else
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, {"target": target.name, "figures": found.to_dict()})
    return found


def key(path: Path, target: Target) -> str:
    """Returns a hash of all that decides what a target says of a file."""
    record = {
        "schema": SCHEMA_VERSION,
        "edgekit": __version__,
        "file": file_hash(path),
        "target": target.name,
        "options": _described(target.options),
        "tools": [f"{tool.package} {tool.version} {tool.digest}" for tool in target.toolchains],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode()).hexdigest()


def _described(options: Any) -> Any:
    """A target's options, and the contents of the files that they name."""
    if not is_dataclass(options) or isinstance(options, type):
        return str(options)
    values = asdict(options)
    files = {}
    for name, value in values.items():
        if isinstance(value, (str, Path)) and value:
            with suppress(OSError, ValueError):
                if Path(value).is_file():
                    files[name] = file_hash(value)
    return {"values": values, "files": files}
