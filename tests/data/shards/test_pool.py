"""Processes index shards as the caller would, and leave to the caller what they cannot."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.shards.headers import index_shard
from edgekit.data.shards.pool import index_shards
from edgekit.data.shards.worker import read_index, write_index

#: Starts no process that answers: one that ends at once, and one that ends within an answer.
DEAD = (sys.executable, "-c", "")
CUT_OFF = (sys.executable, "-c", "import os; os.write(1, (99).to_bytes(8, 'big') + b'x')")


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Five shards of two samples each, one of which is none."""
    paths = [tmp_path / f"{number} ü.tar" for number in range(5)]
    for number, path in enumerate(paths):
        with tarfile.open(path, "w") as tar:
            for name in (f"a/{number}.jpg", f"a/{number}.cls", f"b/{number}.jpg"):
                member = tarfile.TarInfo(name)
                member.size = 1 + number
                tar.addfile(member, io.BytesIO(bytes([65 + number]) * member.size))
    paths[3].write_bytes(b"no tar")
    return paths


def test_each_shard_is_indexed_in_order(shards: list[Path]) -> None:
    found = list(index_shards(shards, processes=2))
    assert [index is None for index in found] == [False, False, False, True, False]
    for shard, index in zip(shards, found, strict=True):
        if index is not None:
            alone = index_shard(shard)
            assert index.names == alone.names
            assert index.labels == alone.labels
            assert np.array_equal(index.offset, alone.offset)
            assert np.array_equal(index.ends, alone.ends)


def test_few_bytes_are_left_to_the_caller(shards: list[Path]) -> None:
    assert list(index_shards(shards, command=("no-such-program",))) == [None] * 5


@pytest.mark.parametrize("command", [DEAD, CUT_OFF])
def test_what_a_dead_process_had_is_left_to_the_caller(
    shards: list[Path], command: tuple[str, ...]
) -> None:
    assert list(index_shards(shards, processes=2, command=command)) == [None] * 5


def test_processes_end_when_the_caller_stops_early(shards: list[Path]) -> None:
    found = index_shards(shards, processes=2)
    assert next(found) is not None
    found.close()  # it waits for them


def test_an_index_is_read_as_it_was_written(shards: list[Path]) -> None:
    written = io.BytesIO()
    index = index_shard(shards[0])
    write_index(index, written)
    written.seek(0)
    again = read_index(written)
    assert (again.names, again.folders) == (index.names, index.folders)
    assert np.array_equal(again.folder, index.folder)
    with pytest.raises(ValueError):
        read_index(io.BytesIO(written.getvalue()[:-1]))
