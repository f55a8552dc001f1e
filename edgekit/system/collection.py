"""Python's search for circular references, put off while millions of values are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Lets nothing be searched within the block; it goes through all values again and again.

    For work that makes many values which stay and refer to each other in no circle.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
