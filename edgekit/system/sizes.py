"""Sizes of memory, and large numbers, as people write them."""

from __future__ import annotations

import re

from edgekit.errors import UsageError

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
_THOUSANDS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
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


def parse_count(flag: str, text: str) -> int:
    """Reads a number of operations or of weights: ``200M``, ``1.5G``, ``3e8``, ``385_000_000``.

    Args:
        flag: of the option, for the message.
        text: what it was given; K, M and G are powers of 1000.

    Raises:
        UsageError: it is not a number, or less than 1.
    """
    match = re.fullmatch(r"(\d{1,18}(?:\.\d*)?|\.\d+)(e\+?\d{1,2})?([KMG]?)", text.strip(), re.I)
    match = match or re.fullmatch(r"(\d{1,3}(?:[_,]?\d{3}){0,5})()()", text.strip())
    if not match:
        raise UsageError(
            f"{flag} '{text}' is not a number", hint="a number such as 200M, 1.5G, 3e8 or 385000000"
        )
    number = match[1].replace("_", "").replace(",", "") + (match[2] or "")
    count = round(float(number) * _THOUSANDS[match[3].upper()])
    if count < 1:
        raise UsageError(f"{flag} must be at least 1, not '{text}'")
    return count


def kibibytes(count: float) -> str:
    """Returns bytes in the unit of chips' data sheets, and of limits."""
    return f"{count / 1024:,.0f} KiB"
