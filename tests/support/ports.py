"""Free ports of this machine for servers of tests that run in several processes at a time."""

from __future__ import annotations

import itertools
import os
import socket

#: Below those that Linux (32768) and others (49152) hand out themselves: between the search and
#: the server's start no client of another test gets the same one.
FIRST, PER_WORKER = 20_000, 200
_numbers = itertools.count(os.getpid())


def free_port(address: str = "127.0.0.1") -> int:
    """A port on which nothing listens; each process looks through some of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 50
    for _ in range(PER_WORKER):
        port = FIRST + worker * PER_WORKER + next(_numbers) % PER_WORKER
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port from {FIRST + worker * PER_WORKER} on")
