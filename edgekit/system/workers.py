"""Processes that answer requests: of threads, Python lets only one go on at a time.

Both sides of the pipe. A request is a line of JSON; an answer is bytes, with their number in front.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from edgekit.system.host import usable_cores
from edgekit.system.threads import ordered_map

_LENGTH_BYTES = 8
_MOST = 8  # processes


def command_of(module: str) -> tuple[str, ...]:
    """Starts a process that is ``module``, which calls `answer_requests`."""
    return (sys.executable, "-m", module)


def processes_for(requests: int) -> int:
    """How many processes so many requests keep busy; 0 where a second one has no core."""
    most = min(usable_cores(), requests, _MOST)
    return most if most > 1 else 0


def ask_each(
    command: Sequence[str], requests: Sequence[Any], processes: int
) -> Generator[bytes | None, None, None]:
    """Asks processes, which all are ended afterwards.

    Args:
        command: starts one; see `command_of`.
        requests: JSON values.
        processes: how many; 0 for none.

    Yields:
        The answers in order; None where there is none: it could not be given, its process has
        ended, or there are no processes.
    """
    if not processes:
        yield from (None for _ in requests)
        return
    with _start(command, processes) as idle:

        def ask(request: Any) -> bytes | None:
            worker = idle.get()
            try:
                return _ask(worker, request)
            finally:
                idle.put(worker)

        ahead = 4 * processes
        with closing(ordered_map(ask, requests, workers=processes, ahead=ahead)) as found:
            yield from found


def answer_requests(answer: Callable[[Any], bytes]) -> None:
    """Is the process that is asked: answers each line on stdin on stdout, until stdin ends.

    What fails has no answer: whoever asked does the work then, and finds out why.

    Args:
        answer: from a request to what is not empty.
    """
    for line in sys.stdin.buffer:
        given = b""
        with suppress(Exception):
            given = answer(json.loads(line))
        sys.stdout.buffer.write(len(given).to_bytes(_LENGTH_BYTES, "big") + given)
        sys.stdout.buffer.flush()


@contextmanager
def _start(command: Sequence[str], count: int) -> Iterator[SimpleQueue[subprocess.Popen[bytes]]]:
    """Starts processes, and ends them after the block."""
    idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
    with ExitStack() as started:
        for _ in range(count):
            worker = subprocess.Popen(  # noqa: S603 - a list, no shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            started.callback(_end, worker)
            idle.put(worker)
        yield idle


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    streams: Any = (worker.stdin, worker.stdout)
    for stream in streams:
        with suppress(OSError):  # it did not take all that was sent
            stream.close()


def _ask(worker: subprocess.Popen[bytes], request: Any) -> bytes | None:
    stdin: Any = worker.stdin
    stdout: Any = worker.stdout
    try:
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        length = int.from_bytes(stdout.read(_LENGTH_BYTES), "big")
        answer: bytes = stdout.read(length)
    except OSError:  # it has ended
        return None
    return answer if length and len(answer) == length else None
