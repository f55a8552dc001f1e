"""The process that indexes shards for `edgekit.data.shards.pool`."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any, BinaryIO

import numpy as np

from edgekit.data.columns import Texts
from edgekit.data.shards.headers import index_shard
from edgekit.data.shards.index import ShardIndex
from edgekit.system.workers import answer_requests


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


def _answer(path: str) -> bytes:
    answer = io.BytesIO()
    write_index(index_shard(path), answer)
    return answer.getvalue()


if __name__ == "__main__":
    answer_requests(_answer)
