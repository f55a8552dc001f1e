"""Figures as people read them; the terminal and the page write them alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

NOTHING = "\N{EN DASH}"  # what stands where nothing was measured


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def percent(fraction: float | None) -> str:
    """0.93071 → ``93.07``."""
    return f"{100 * fraction:.2f}" if _known(fraction) else NOTHING


def points(value: float | None) -> str:
    """Percentage points with a true minus sign and never ``-0.00``."""
    if not _known(value):
        return NOTHING
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\N{MINUS SIGN}")


def nats(value: float | None) -> str:
    """A divergence: four decimals, which is finer than any difference that matters."""
    return f"{value:.4f}" if _known(value) else NOTHING


def milliseconds(value: float | None) -> str:
    """Three significant digits: 8.61, 12.3, 143."""
    if not _known(value):
        return NOTHING
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def rate(value: float | None) -> str:
    """Photos a second: 3.25 → ``3.2``, 312.4 → ``312``, 12345.6 → ``12,346``."""
    if not _known(value):
        return NOTHING
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}"


def size(count: float | None) -> str:
    """Bytes in decimal units: 5266432 → ``5.3 MB``."""
    if not _known(count):
        return NOTHING
    for unit in ("B", "kB", "MB"):
        if count < (1000 if unit == "B" else 999.5):
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def seconds(value: float) -> str:
    """8.64 → ``8.6 s``, 125 → ``2 min 05 s``, 3720 → ``1 h 02 min``."""
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def temperature(timing: Mapping[str, Any]) -> str:
    """The sensors of a device: degrees Celsius before, and the most after that."""
    sensors = timing["sensors"]
    before = sensors["before"].get("temperature_c")
    seen = [sample.get("temperature_c") for sample in (*sensors["during"], sensors["after"])]
    known = [value for value in seen if value is not None]
    return NOTHING if before is None or not known else f"{before:.0f} to {max(known):.0f}"
