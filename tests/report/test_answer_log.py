"""Logs of a deployed program: written by it, read here, also where they are cut or mixed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.report.answer_log import read_log

HEADER = {"log": 1, "model": "m", "kind": "logit", "labels": ["a", "b"]}


def line(hour=1, scores=(0.5, 1.5), ms=2.0):
    time = f"2026-11-30T{hour:02}:00:00+00:00"
    return {"time": time, "scores": list(scores), "ms": ms}


def write(path, *records, end="\n"):
    path.write_text("\n".join(map(json.dumps, records)) + end)
    return path


def test_the_older_part_comes_first(tmp_path):
    path = write(tmp_path / "a.jsonl", HEADER, line(3, (3, 0), 4.0))
    write(tmp_path / "a.jsonl.1", HEADER, line(1, (1, 0)), line(2, (2, 0)))
    found = read_log(path)
    assert found.scores.tolist() == [[1, 0], [2, 0], [3, 0]]
    assert found.labels == ("a", "b")
    assert found.latency["median"] == 2.0


def test_answers_count_from_a_time_on(tmp_path):
    other = {**HEADER, "model": "older", "labels": ["x", "y"]}
    path = write(tmp_path / "a.jsonl", other, line(1), HEADER, line(2), line(3))
    assert len(read_log(path, "2026-11-30T02:00:00").scores) == 2
    with pytest.raises(UsageError, match="answers of several models"):
        read_log(path)
    with pytest.raises(UsageError, match="holds no answers"):
        read_log(path, "2026-12-01")
    with pytest.raises(UsageError, match="--since soon is no time"):
        read_log(path, "soon")


def test_a_line_that_the_power_cut_is_left_out(tmp_path):
    path = write(tmp_path / "a.jsonl", HEADER, line(1), end='\n{"time": "2026-1')
    assert len(read_log(path).scores) == 1


def test_probabilities_become_logits(tmp_path):
    path = write(tmp_path / "a.jsonl", {**HEADER, "kind": "probability"}, line(scores=(0.0, 1.0)))
    scores = read_log(path).scores
    assert np.isfinite(scores).all()
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([{"a": 1}], "no answer"),
        ([[1]], "no answer"),
        ([line()], "no log of a deployed program"),
        ([{**HEADER, "log": 9}, line()], "no log of a deployed program"),
        ([HEADER], "holds no answers"),
        ([HEADER, line(), line(scores=(1, 2, 3))], "holds no answers"),
        ([HEADER, {**line(), "scores": "no"}], "no answer"),
    ],
)
def test_what_is_no_log_is_said(tmp_path, records, says):
    with pytest.raises(UsageError, match=says):
        read_log(write(tmp_path / "a.jsonl", *records))


def test_a_broken_line_in_the_middle_is_said(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(HEADER)}\nnot json\n{json.dumps(line())}\n")
    with pytest.raises(UsageError, match="line 2: no JSON"):
        read_log(path)
    with pytest.raises(UsageError, match="cannot read"):
        read_log(tmp_path / "none.jsonl")
