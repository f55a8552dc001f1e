"""The file of a table: what it holds, whose it is, and two that write it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgekit.errors import UsageError
from edgekit.search.tables.line import Check, Errors, Line
from edgekit.search.tables.table import Entry, Identity, LatencyTable, load_table

PI = Identity("aarch64", "Raspberry Pi 5", "Cortex-A76", 4, "tflite_runtime 2.14.0", 1, "cpu")
ERRORS = Errors(0.03, 0.0, 0.9)
TABLE = LatencyTable(
    PI,
    {"a": Entry("8x8x3 to 4x4x8", (10.0, 11.0, 50.0)), "b": Entry("4x4x8 to 10", (5.0,))},
    Line(2.0, 1.5),
    Check(8, 16, (10.0, 90.0), ERRORS, ERRORS, ERRORS),
)


def test_a_table_is_read_as_it_was_written(tmp_path):
    assert TABLE.save(tmp_path / "new/t.json") == TABLE
    assert load_table(tmp_path / "new/t.json") == TABLE


def test_a_network_is_the_line_at_the_sum_of_its_blocks():
    low = 10.4  # the 20th percentile of 10, 11 and 50
    assert TABLE.total(["a", "b", "a"]) == pytest.approx(2 * low + 5)
    assert TABLE.latency(["a", "b", "a"]) == pytest.approx(2 + 1.5 * (2 * low + 5))
    assert TABLE.missing(["a", "c", "b", "c"]) == ["c"]
    with pytest.raises(KeyError):
        TABLE.total(["c"])


def test_rounds_are_added_to_those_there_are():
    more = TABLE.with_rounds({"b": Entry("4x4x8 to 10", (6.0, 7.0)), "c": Entry("x", (1.0,))})
    assert more.entries["b"].microseconds == (5.0, 6.0, 7.0)
    assert more.entries["c"].microseconds == (1.0,)
    assert more.entries["a"] == TABLE.entries["a"]


def test_what_another_process_wrote_meanwhile_stays(tmp_path):
    path = tmp_path / "t.json"
    TABLE.with_rounds({"theirs": Entry("x", (3.0,))}).save(path)
    both = TABLE.with_rounds({"ours": Entry("x", (4.0,))}).save(path)
    assert {"theirs", "ours"} < both.entries.keys()
    assert load_table(path) == both


def test_the_table_of_another_device_is_refused(tmp_path):
    path = tmp_path / "t.json"
    TABLE.save(path)
    other = replace(TABLE, identity=replace(PI, threads=4))
    with pytest.raises(UsageError, match="is of another device") as caught:
        other.save(path)
    assert "1 thread; this is" in caught.value.cause
    assert "4 threads" in caught.value.cause
    assert load_table(path) == TABLE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no table of latencies"),
        ("[]", "no table of latencies"),
        ('{"schema_version": 9}', "another version"),
        ('{"schema_version": 1, "check": null}', "no table of latencies"),
        (json.dumps(TABLE.to_dict() | {"blocks": {"a": 3}}), "no table of latencies"),
        (json.dumps(TABLE.to_dict() | {"check": {"n": 3}}), "no table of latencies"),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path, text, says):
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        load_table(path)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*none\.json") as caught:
        load_table(tmp_path / "none.json")
    assert "latency-table" in caught.value.hint
