"""Indexes shards for `edgekit.data.shards.pool`: the other side of its pipe.

It answers each line on stdin, a path in JSON, with an `edgekit.data.shards.index.ShardIndex` on
stdout, or that it failed: whoever asked then goes through the shard itself, and finds out why. It
ends when stdin does.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import suppress
from dataclasses import fields
from typing import Any, BinaryIO

import numpy as np

from edgekit.data.columns import Texts
from edgekit.data.shards.headers import index_shard
from edgekit.data.shards.index import ShardIndex

_LENGTH_BYTES = 8


def write_index(index: ShardIndex, stream: BinaryIO) -> None:
    """Writes an index as arrays."""
    for field in fields(index):
        column = getattr(index, field.name)
        if isinstance(column, Texts):
            np.lib.format.write_array(stream, np.frombuffer(column.contents, np.uint8))
            column = column.ends
        np.lib.format.write_array(stream, column, allow_pickle=False)


def read_index(stream: BinaryIO) -> ShardIndex:
    """Reads what `write_index` wrote.

    Raises:
        ValueError: it ends early.
    """
    columns: dict[str, Any] = {}
    for field in fields(ShardIndex):
        array = np.lib.format.read_array(stream, allow_pickle=False)
        columns[field.name] = array
        if field.type == Texts.__name__:
            ends = np.lib.format.read_array(stream, allow_pickle=False)
            columns[field.name] = Texts(array.tobytes(), ends)
    return ShardIndex(**columns)


def read_answer(stream: BinaryIO) -> ShardIndex | None:
    """Reads an answer; None where the shard could not be indexed, or the process has ended.

    Raises:
        ValueError: the process ended within its answer.
    """
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "big")
    return read_index(io.BytesIO(stream.read(length))) if length else None


def main() -> None:
    """Answers until stdin ends."""
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        answer = io.BytesIO()
        with suppress(Exception):  # whoever asked finds out
            write_index(index_shard(json.loads(line)), answer)
        answers.write(answer.tell().to_bytes(_LENGTH_BYTES, "big"))
        answers.write(answer.getbuffer())
        answers.flush()


if __name__ == "__main__":
    main()
