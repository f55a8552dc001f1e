"""A table of a space, made on this machine and over ssh, and a search that uses it."""

from __future__ import annotations

import json

import device
import pytest
from narrow import make_narrow
from prerequisites import skip_without

from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.search.study.costing import Place, open_costing
from edgekit.search.study.objective import MICROSECONDS, Objective
from edgekit.search.study.tabulate import Asked, _checked, _Whole
from edgekit.search.tables.table import Entry, Identity, LatencyTable, load_table

SMALL = ["--space", "size", "--model", "lite0", "--resolution", "32", "--rounds", "2"]
IDENTITY = Identity("x86_64", None, "a CPU", 2, "ai_edge_litert 2.3.0", 1, "cpu")


def made_up(times, wholes):
    """A table of blocks and of networks of them, of times that are given."""
    entries = {key: Entry("x", (value,)) for key, value in times.items()}
    networks = [_Whole(f"network-{k}", blocks, macs) for k, (blocks, macs, _) in enumerate(wholes)]
    entries |= {f"network-{k}": Entry("x", (value,)) for k, (_, _, value) in enumerate(wholes)}
    return _checked(LatencyTable(IDENTITY, entries), networks)


def test_a_check_is_of_networks_that_the_line_has_not_seen():
    times = {"a": 10.0, "b": 20.0, "c": 40.0}
    blocks = [["a"] * (k % 4 + 1) + ["b"] * (k % 3) + ["c"] * (k % 5) for k in range(20)]
    sums = [sum(times[key] for key in keys) for keys in blocks]
    rows = [(keys, 1000, 5 + 1.2 * total) for keys, total in zip(blocks, sums, strict=True)]
    table = made_up(times, rows)
    assert (table.line.offset, table.line.slope) == (pytest.approx(5), pytest.approx(1.2))
    assert (table.check.fitted, table.check.n) == (8, 12)
    assert table.check.table.mape == pytest.approx(0, abs=1e-9)
    assert table.check.plain.bias < -0.1
    assert table.check.holds


def test_where_blocks_run_side_by_side_their_sum_does_not_hold(tmp_path):
    times = {"a": 10.0, "b": 20.0, "c": 40.0}
    blocks = [["a"] * (k % 4 + 1) + ["b"] * (k % 3) + ["c"] * (k % 5) for k in range(20)]
    # An accelerator: a network takes as long as its slowest block, some more by its length.
    rows = [(keys, 9, max(times[k] for k in keys) * (1 + len(keys) % 3)) for keys in blocks]
    table = made_up(times, rows)
    assert not table.check.holds
    table.save(tmp_path / "t.json")
    place = Place(table=str(tmp_path / "t.json"))
    with (
        pytest.raises(UsageError, match="do not add up on the device") as caught,
        open_costing(Objective(MICROSECONDS, 100), place),
    ):
        pass
    assert "whole networks" in caught.value.hint


def test_a_table_that_was_not_finished_is_refused(tmp_path):
    LatencyTable(IDENTITY).save(tmp_path / "t.json")
    place = Place(table=str(tmp_path / "t.json"))
    with (
        pytest.raises(UsageError, match="is not finished"),
        open_costing(Objective(MICROSECONDS, 100), place),
    ):
        pass


def test_a_table_is_not_for_accelerators(tmp_path):
    place = Place("ethosu", table=str(tmp_path / "t.json"))
    with (
        pytest.raises(UsageError, match="--table is not for the target ethosu"),
        open_costing(Objective(MICROSECONDS, 100), place),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"networks": 3}, "--networks must be at least 8"),
        ({"classes": 0}, "--classes must be at least 1"),
        ({"space": "scaling"}, "there is no table of the space scaling"),
    ],
)
def test_what_cannot_be_tabulated_is_said(options, says):
    with pytest.raises(UsageError, match=says):
        Asked(**options)


def test_an_unknown_space_or_device_is_said(tmp_path, capsys):
    out = ["--out", str(tmp_path / "t.json")]
    assert run(["latency-table", "--space", "all", *out]) == 2
    assert "unknown space 'all'" in capsys.readouterr().err
    assert run(["latency-table", "--latency", "-1", *out]) == 2
    assert "--latency -1 is none" in capsys.readouterr().err
    assert run(["latency-table", "--device", "usb:1", *out]) == 2
    assert not (tmp_path / "t.json").exists()


@pytest.mark.slow
def test_a_search_costs_networks_by_the_table_of_a_device(tmp_path, capsys, monkeypatch):
    if need := device.missing():
        skip_without(need)
    make_narrow(["lite0"], monkeypatch, 32)
    path = tmp_path / "t.json"
    with device.serve_device(tmp_path / "device") as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        words = ["latency-table", *SMALL, "--device", server.url, "--out", str(path)]
        assert run([*words, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["identity"]["runtime"].startswith("tflite_runtime 2.14")
        assert shown["check"]["n"] == 16
        before = len(load_table(path).entries)
        assert run(words) == 0  # nothing is left to do
        assert len(load_table(path).entries) == before
        assert (
            f"{len([k for k in shown['blocks'] if k[0] != 'n'])} blocks" in capsys.readouterr().out
        )
    # The device is gone: what the table holds is enough.
    if load_table(path).check.holds:  # on a machine that is not too busy
        with open_costing(Objective(MICROSECONDS, 1000), Place(table=str(path))) as costing:
            from edgekit.networks.efficientnet.spec import SPECS

            assert costing(SPECS["lite0"], 32, 10) > 0
