"""Keeps native libraries off the terminal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def native_quiet() -> Iterator[None]:
    """Drops what C++ code writes to stderr: its lines go past Python's ``sys.stderr``.

    Errors still come as exceptions. Without a stderr nothing is done.
    """
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
