"""Where repositories are received from instead of the hub: another server, or a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from edgekit.errors import UsageError


def find_mirror(given: str | None) -> str | None:
    """Where the files are fetched instead, unless HF_ENDPOINT says it, which the library reads."""
    if given or os.environ.get("HF_ENDPOINT"):
        return given
    return os.environ.get("EDGEKIT_MIRROR") or None


def find_folder(mirror: str | None) -> Path | None:
    """The folder that a mirror is; None where it is an address, or there is none.

    Raises:
        UsageError: it is neither.
    """
    if mirror is None:
        return None
    with suppress(ValueError):
        address = urlsplit(mirror)
        if address.scheme in ("http", "https"):
            return None
        if address.scheme == "file":
            mirror = url2pathname(address.path)
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"the mirror {mirror} is neither an address nor a folder",
            hint="https://… of a server that speaks the hub's protocol, or a folder that holds "
            "ORG/NAME/model.safetensors",
        )
    return folder
