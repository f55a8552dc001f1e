"""Sizes of memory as people write them."""

from __future__ import annotations

import re

from edgekit.errors import UsageError

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
_LARGEST = 1 << 40


def parse_bytes(flag: str, text: str) -> int:
    """Reads ``524288``, ``512K``, ``1M`` or ``1.5M``; K and M are 1024 and 1024 x 1024.

    Args:
        flag: of the option, for the message.
        text: what it was given.

    Raises:
        UsageError: it is no size, or none that a chip has.
    """
    match = re.fullmatch(
        r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE
    )
    count = int(float(match[1]) * (1 << _UNITS[match[2].upper()])) if match else 0
    if not 0 < count <= _LARGEST:
        raise UsageError(f"{flag} '{text}' is no size", hint="bytes, such as 524288, 512K or 1M")
    return count


def kibibytes(count: float) -> str:
    """Returns bytes in the unit of chips' data sheets, and of limits."""
    return f"{count / 1024:,.0f} KiB"
