"""What TFLite Micro's interpreter prints of its memory, as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.errors import EdgekitError

_LINE = r"\[RecordingMicroAllocator\] Arena allocation {} (\d+) bytes"


@dataclass(frozen=True)
class Allocations:
    """The memory of one file in bytes, as a 64-bit host allocates it.

    Attributes:
        arena: all of it; no smaller arena will do.
        persistent: structures and scales that stay as long as the interpreter.
        shared: activations and scratch memory, which operators use one after the other.
    """

    arena: int
    persistent: int
    shared: int

    def to_memory(self, model: int) -> dict[str, int]:
        """Returns them by name, with the size of the file, which is in flash."""
        return {
            "arena": self.arena,
            "persistent": self.persistent,
            "non-persistent": self.shared,
            "model": model,
        }


def parse_allocations(text: str) -> Allocations:
    """Reads what the interpreter has printed.

    Raises:
        EdgekitError: it is not in there.
    """
    found = {part: re.search(_LINE.format(part), text) for part in ("total", "tail", "head")}
    sizes = {part: int(match[1]) for part, match in found.items() if match}
    if len(sizes) != len(found):
        last = (text.strip().splitlines() or ["nothing"])[-1]
        raise EdgekitError("TFLite Micro did not say what memory it needs", cause=last)
    return Allocations(sizes["total"], sizes["tail"], sizes["head"])
