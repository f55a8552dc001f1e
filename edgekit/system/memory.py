"""What the C library does with freed memory; elsewhere than on glibc nothing is changed."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

#: Parameters of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Lets the C library keep up to 1 GiB that was freed, for this process.

    A network on a CPU takes and frees large tensors at every layer. glibc gives each back to
    the system and gets it again as fresh pages, which more than halves the speed of
    inference (benchmarks/memory.py).
    """
    if mallopt := _find("mallopt"):
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            mallopt(parameter, _KEPT_BYTES)


def return_freed_memory() -> None:
    """Gives what is kept back to the system, once.

    For the end of work that frees far more than what follows takes.
    """
    if trim := _find("malloc_trim"):
        trim(0)


def _find(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
