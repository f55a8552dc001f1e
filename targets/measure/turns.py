"""Devices that are one machine, by several URLs, are measured one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WAIT_S = 0.5  # between two signs of life
_guard = threading.Lock()
_machines: dict[str, threading.Lock] = {}


@contextmanager
def turn_of(boot: str | None, beat: Callable[[], None]) -> Iterator[None]:
    """Waits until no other thread measures on a machine; what runs at once is slower by that.

    Args:
        boot: what tells its kernel's start from any other; None where that is not known.
        beat: called every `WAIT_S` seconds of waiting; what it raises ends that.
    """
    if boot is None:
        yield
        return
    with _guard:
        lock = _machines.setdefault(boot, threading.Lock())
    while not lock.acquire(timeout=WAIT_S):
        beat()
    try:
        yield
    finally:
        lock.release()
