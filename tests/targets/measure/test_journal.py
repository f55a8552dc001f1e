from __future__ import annotations

import os
import time

import pytest

from edgekit.errors import EdgekitError
from edgekit.targets.measure.journal import KEEP_S, Journal

RESULT = {"result": {"runs": [0.5, 0.25]}, "sensors": {"before": {"governor": "ü"}}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a" / "b" / "journal.jsonl"


@pytest.fixture
def written(path):
    with Journal(path) as journal:
        journal.result("latency xnnpack 1", RESULT)
        journal.output("photos xnnpack 2", 0, b"\x00\xff\n")
        journal.output("photos xnnpack 2", 7, b"")
    return path


def content(path):
    with Journal(path) as journal:
        return journal.results, journal.outputs


ALL = ({"latency xnnpack 1": RESULT}, {"photos xnnpack 2": {0: b"\x00\xff\n", 7: b""}})


def test_it_begins_empty(path):
    assert content(path) == ({}, {})
    assert path.read_text() == ""


def test_round_trip(written):
    assert content(written) == ALL
    assert content(written) == ALL


def test_it_is_on_disk_at_once_and_known_at_once(path):
    with Journal(path) as journal:
        journal.result("a", RESULT)
        journal.output("b", 3, b"x")
        assert (journal.results, journal.outputs) == ({"a": RESULT}, {"b": {3: b"x"}})
        assert len(path.read_text().splitlines()) == 2


def test_the_last_of_a_step_counts_and_is_kept_once(written):
    with Journal(written) as journal:
        journal.result("latency xnnpack 1", {"error": "run"})
        journal.output("photos xnnpack 2", 7, b"new")
    results, outputs = content(written)
    assert results == {"latency xnnpack 1": {"error": "run"}}
    assert outputs == {"photos xnnpack 2": {0: b"\x00\xff\n", 7: b"new"}}
    assert len(written.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "torn",
    [
        '{"step": "photos xnn',
        '{"step": "photos xnnpack 2", "photo": 8, "output": "A"}',
        '{"step": "photos xnnpack 2", "photo": 8}',
        '{"step": "latency xnnpack 2"}',
        "\0" * 40,
        "1",
        "[]",
        "null",
    ],
)
def test_a_torn_last_line_is_left_out_and_does_not_spoil_the_next(written, torn):
    with written.open("a") as file:
        file.write(torn)
    with Journal(written) as journal:
        assert (journal.results, journal.outputs) == ALL
        journal.result("more", RESULT)
    results, outputs = content(written)
    assert results == ALL[0] | {"more": RESULT}
    assert outputs == ALL[1]


@pytest.mark.parametrize(("age", "kept"), [(KEEP_S - 60, ALL), (KEEP_S + 60, ({}, {}))])
def test_an_old_one_is_begun_anew(written, age, kept):
    when = time.time() - age
    os.utime(written, (when, when))
    assert content(written) == kept


def test_what_is_taken_up_is_young_again(written):
    when = time.time() - KEEP_S + 60
    os.utime(written, (when, when))
    content(written)
    assert time.time() - written.stat().st_mtime < 60


@pytest.mark.parametrize("place", ["file/journal", "folder"])
def test_a_place_that_cannot_be_written_is_said(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EdgekitError, match="cannot write") as caught:
        Journal(tmp_path / place)
    assert caught.value.exit_code == 1
    assert caught.value.cause
    assert str(tmp_path / place) in caught.value.message


def test_forget(written):
    with Journal(written) as journal:
        journal.forget()
        assert not written.exists()
        journal.forget()
    assert list(written.parent.iterdir()) == []
    assert content(written) == ({}, {})


def test_bytes_that_are_no_text_end_it_like_a_torn_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.result("a", {"result": 1})
    path.write_bytes(path.read_bytes() + b"\xff\xfe\x00")
    with Journal(path) as journal:
        assert journal.results == {"a": {"result": 1}}
