"""Indexing many shards at once, in processes: of threads, Python lets only one go on at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from edgekit.data.shards.index import ShardIndex
from edgekit.data.shards.worker import read_answer
from edgekit.system.host import usable_cores
from edgekit.system.threads import ordered_map

WORKER = (sys.executable, "-m", "edgekit.data.shards.worker")
#: Of fewer bytes of shards, a process is not worth the half second that it needs to start.
_WORTH_BYTES = 1 << 30
_MOST = 8  # processes


def index_shards(
    shards: Sequence[Path],
    *,
    processes: int | None = None,
    command: Sequence[str] = WORKER,
) -> Generator[ShardIndex | None, None, None]:
    """Yields what each shard holds, in order.

    Args:
        shards: the files.
        processes: how many go through them; None for as many as are worth it, 0 for none.
        command: starts one.

    Yields:
        None where a shard is to be gone through by the caller: it cannot be used, its process has
        ended, or there is none.
    """
    count = _worth(shards) if processes is None else processes
    if not count:
        yield from (None for _ in shards)
        return
    with _start(count, command) as idle:

        def ask(shard: Path) -> ShardIndex | None:
            worker = idle.get()
            try:
                return _ask(worker, shard)
            finally:
                idle.put(worker)

        with closing(ordered_map(ask, shards, workers=count, ahead=4 * count)) as found:
            yield from found


def _worth(shards: Sequence[Path]) -> int:
    """How many processes are worth it."""
    most = min(usable_cores(), len(shards), _MOST)
    size = 0
    for shard in shards:
        with suppress(OSError):
            size += shard.stat().st_size
    return most if most > 1 and size >= _WORTH_BYTES else 0


@contextmanager
def _start(count: int, command: Sequence[str]) -> Iterator[SimpleQueue[subprocess.Popen[bytes]]]:
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


def _ask(worker: subprocess.Popen[bytes], shard: Path) -> ShardIndex | None:
    stdin: Any = worker.stdin
    stdout: Any = worker.stdout
    try:
        stdin.write(json.dumps(str(shard)).encode() + b"\n")
        stdin.flush()
        return read_answer(stdout)
    except (OSError, ValueError):  # it has ended
        return None
