"""A thread pool that keeps order and looks only so far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int
) -> Generator[R, None, None]:
    """Yields ``function(item)`` for each item, in order, computed by threads.

    Args:
        function: called in worker threads; what it raises is raised here, at its item's place.
        items: read by the consumer's thread, at most ``ahead`` items before they are needed.
        workers: the number of threads (at least 1 is used).
        ahead: how many results may be under way or waiting, so that memory stays bounded.

    When the consumer stops early (closes the generator, or raises), the items not yet begun are
    dropped and the threads have ended before control returns.
    """
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="edgekit")
    pending: deque[Future[R]] = deque()
    remaining = iter(items)
    try:
        for item in islice(remaining, max(1, ahead)):
            pending.append(pool.submit(function, item))
        while pending:
            result = pending.popleft().result()
            for item in islice(remaining, 1):
                pending.append(pool.submit(function, item))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
