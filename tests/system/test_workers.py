"""Processes answer in order; what one cannot answer has no answer, and nothing hangs."""

from __future__ import annotations

import sys

import pytest

from edgekit.system.workers import ask_each, processes_for

UPPER = (
    sys.executable,
    "-c",
    "from edgekit.system.workers import answer_requests\n"
    "answer_requests(lambda text: text.upper().encode() if text != 'bad' else 1 / 0)",
)
#: Starts no process that answers: one that ends at once, and one that ends within an answer.
DEAD = (sys.executable, "-c", "")
CUT_OFF = (sys.executable, "-c", "import os; os.write(1, (99).to_bytes(8, 'big') + b'x')")


def test_answers_come_in_order_and_a_fault_has_none() -> None:
    requests = ["a", "bad", *map(str, range(20)), "ü\udcff"]
    wanted = [None if one == "bad" else one.upper() for one in requests[:-1]]
    found = list(ask_each(UPPER, requests, 2))
    assert [one and one.decode() for one in found[:-1]] == wanted
    assert found[-1] is None  # what is no text in UTF-8 fails on the other side alone


@pytest.mark.parametrize("command", [DEAD, CUT_OFF])
def test_a_dead_process_has_no_answer(command: tuple[str, ...]) -> None:
    assert list(ask_each(command, ["a", "b", "c"], 2)) == [None] * 3


def test_without_processes_nothing_is_started() -> None:
    assert list(ask_each(("no-such-program",), ["a", "b"], 0)) == [None] * 2


def test_processes_end_when_the_caller_stops_early() -> None:
    found = ask_each(UPPER, ["a"] * 50, 2)
    assert next(found) == b"A"
    found.close()  # it waits for them


@pytest.mark.parametrize(
    ("cores", "requests", "count"), [(1, 9, 0), (2, 9, 2), (4, 1, 0), (64, 99, 8)]
)
def test_no_process_idles(
    monkeypatch: pytest.MonkeyPatch, cores: int, requests: int, count: int
) -> None:
    monkeypatch.setattr("edgekit.system.workers.usable_cores", lambda: cores)
    assert processes_for(requests) == count
