"""Reads the table of figures that Vela writes beside a compiled model."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.system.sizes import kibibytes
from edgekit.system.text import NOTHING, milliseconds, size

#: What the memories are called, by the words in Vela's columns.
MEMORIES = {
    "sram": "SRAM",
    "dram": "DRAM",
    "on_chip_flash": "on-chip flash",
    "off_chip_flash": "flash",
}
_KIB = 1024


def parse_summary(text: str) -> dict[str, Any]:
    """Returns Vela's columns by their names: numbers, texts, and None for what is no number.

    Raises:
        EdgekitError: it is no such table.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    if len(rows) != 1 or "inference_time" not in rows[0]:
        raise EdgekitError("Vela's summary cannot be read", cause=text[:200])
    return {str(name): _value(word) for name, word in rows[0].items()}


def _value(word: str) -> Any:
    try:
        number = float(word)
    except (TypeError, ValueError):
        return word
    if not math.isfinite(number):
        return None
    return int(number) if number == int(number) and "." not in word else number


def figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of a summary in bytes and milliseconds, by what they are."""
    seconds = summary["inference_time"]
    used = {
        name: math.ceil(summary[f"{area}_memory_used"] * _KIB) for area, name in MEMORIES.items()
    }
    traffic = {name: summary[f"{area}_total_bytes"] for area, name in MEMORIES.items()}
    cycles = {
        name: summary[f"cycles_{column}"]
        for column, name in (
            ("total", "total"),
            ("npu", "NPU"),
            *((f"{area}_access", name) for area, name in MEMORIES.items()),
        )
    }
    return {
        # A model of which nothing runs on the NPU takes no time of it, which is no estimate.
        "milliseconds": 1000 * seconds if seconds else None,
        "milliseconds_by": "Vela's estimate",
        "memory_bytes": {name: count for name, count in used.items() if count},
        "traffic_bytes": {name: count for name, count in traffic.items() if count},
        "cycles": {name: count for name, count in cycles.items() if count},
        "core_clock_hz": summary["core_clock"],
        "macs": summary["nn_macs"],
        "weight_bytes": summary["total_original_weights"],
        "encoded_weight_bytes": summary["total_npu_encoded_weights"],
    }


def figure_lines(found: Mapping[str, Any]) -> list[str]:
    """Returns `figures` for a person."""
    if found["milliseconds"] is None:
        return []
    clock, cycles = found["core_clock_hz"] / 1e6, found["cycles"]
    others = ", ".join(f"{name} {count:,}" for name, count in cycles.items() if name != "total")
    before, after = found["weight_bytes"], found["encoded_weight_bytes"]
    return [
        f"memory       {memory_text(found['memory_bytes'])}",
        f"time         {milliseconds(found['milliseconds'])} ms an inference "
        f"({found['milliseconds_by']}, at {clock:,.0f} MHz)",
        f"cycles       {cycles.get('total', 0):,} ({others})",
        f"traffic      {_sizes(found['traffic_bytes'])} an inference",
        f"MACs         {found['macs']:,}",
        f"weights      {size(before)}, encoded {size(after)}",
    ]


def memory_text(counts: Mapping[str, int]) -> str:
    """Returns bytes of memories in Vela's unit, which is also that of chips' data sheets."""
    return ", ".join(f"{name} {kibibytes(count)}" for name, count in counts.items()) or NOTHING


def _sizes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size(count)}" for name, count in counts.items()) or NOTHING
