"""Networks costed by a table, and blocks that are measured when the first network has them."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from narrow import narrow

from edgekit.errors import DeviceError, UsageError
from edgekit.search.tables.cut import Files, cut_network
from edgekit.search.tables.line import Line
from edgekit.search.tables.measure import measure_files, open_device, table_for
from edgekit.search.tables.meter import Meter
from edgekit.search.tables.table import load_table
from edgekit.targets.measure.rounds import Rounds

SPEC, OTHER = narrow("lite0"), narrow("lite0", depth=1.0)
PASSES = 2
ROUNDS = Rounds(1, 3, PASSES)


def refuse():
    raise AssertionError("nothing is to be measured")


@pytest.fixture(scope="module")
def device():
    with open_device(None, ROUNDS, sys.executable) as opened:
        yield opened


@pytest.fixture
def files(tmp_path):
    (tmp_path / "files").mkdir()
    found = Files(tmp_path / "files")
    found.add_blocks(cut_network(SPEC, 32, 5), {})
    return found


def test_a_networks_latency_is_that_of_its_blocks(tmp_path, device):
    path, network = tmp_path / "t.json", cut_network(SPEC, 32, 5)
    meter = Meter(path, refuse, device)
    first = meter.latency(SPEC, 32, 5)
    table = load_table(path)
    assert set(table.entries) == set(network.keys)
    assert all(len(one.microseconds) == 3 * PASSES for one in table.entries.values())
    assert first == pytest.approx(sum(table.entries[key].latency for key in network.keys))
    # Known blocks are measured no more, a deeper network adds those that it has besides.
    assert Meter(path, refuse).latency(SPEC, 32, 5) == first
    assert Meter(path, lambda: device).latency(OTHER, 32, 5) > first
    added = set(load_table(path).entries) - set(table.entries)
    assert added == set(cut_network(OTHER, 32, 5).keys) - set(network.keys)
    replace(load_table(path), line=Line(7.0, 2.0)).save(path)
    assert Meter(path, refuse).latency(SPEC, 32, 5) == pytest.approx(7 + 2 * first)


def test_what_was_measured_before_the_device_went_away_stays(tmp_path, device, files):
    path, said = tmp_path / "t.json", []

    def progress(task, done, total, note=""):
        said.append((task, done, total))
        if task.startswith("pass 2"):
            raise DeviceError("it went away")

    with pytest.raises(DeviceError):
        measure_files(device, files, table_for(device, path), path, progress)
    kept = table_for(device, path)
    assert {len(one.microseconds) for one in kept.entries.values()} == {3}
    said.clear()
    done = measure_files(device, files, kept, path, lambda *words: said.append(words))
    assert {len(one.microseconds) for one in done.entries.values()} == {3 * PASSES}
    assert not [words for words in said if words[0].startswith("pass 1") and words[1] == 0]
    assert said[-1][1:] == (2 * len(files.words), 2 * len(files.words))


def test_a_block_that_is_missing_is_not_measured_elsewhere(tmp_path, device):
    path = tmp_path / "t.json"
    Meter(path, refuse, device).latency(SPEC, 32, 5)
    there = load_table(path)
    elsewhere = replace(there, identity=replace(there.identity, cpu="Cortex-A76"))
    path.unlink()
    elsewhere.save(path)
    meter = Meter(path, lambda: device)
    assert meter.latency(SPEC, 32, 5) > 0  # it is all there
    with pytest.raises(UsageError, match="is of another device"):
        meter.latency(OTHER, 32, 5)
