"""Indexing many shards at once, in processes."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from edgekit.data.shards.index import ShardIndex
from edgekit.data.shards.worker import read_index
from edgekit.system.workers import ask_each, command_of, processes_for

WORKER = command_of("edgekit.data.shards.worker")
#: Of fewer bytes of shards, a process is not worth the half second that it needs to start.
_WORTH_BYTES = 1 << 30


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
    with closing(ask_each(command, [str(shard) for shard in shards], count)) as answers:
        for answer in answers:
            yield None if answer is None else read_index(io.BytesIO(answer))


def _worth(shards: Sequence[Path]) -> int:
    """How many processes are worth it."""
    size = 0
    for shard in shards:
        with suppress(OSError):
            size += shard.stat().st_size
    return processes_for(len(shards)) if size >= _WORTH_BYTES else 0
