"""Paths of any bytes as JSON text."""

from __future__ import annotations

import os
import string
from urllib.parse import quote_from_bytes, unquote_to_bytes

_SAFE = "".join(set(string.printable) - {"%"})


def quote_path(path: str) -> str:
    """Percent-encodes what is not ASCII: a path as JSON text, whatever its bytes are."""
    return quote_from_bytes(os.fsencode(path), safe=_SAFE)


def unquote_path(text: str) -> str:
    """Reads what `quote_path` wrote."""
    return os.fsdecode(unquote_to_bytes(text))
