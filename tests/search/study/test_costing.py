"""What networks cost: as counted on their graphs, and as measured where they run."""

from __future__ import annotations

from math import inf

import device
import pytest
from narrow import narrow
from prerequisites import skip_without

from edgekit.cli import run
from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.search.study.costing import HERE, Place, open_costing
from edgekit.search.study.objective import COSTS, MICROSECONDS, Objective
from edgekit.targets.executions import ChipFigures
from edgekit.targets.tflite import TFLiteTarget

SPEC = narrow("lite0")


@pytest.mark.parametrize("name", COSTS)
def test_a_static_cost_is_that_of_the_graph(name):
    wanted = COSTS[name](cost(build_graph(SPEC, classes=7, resolution=32, seed=None)))
    with open_costing(Objective(name, 1000), HERE) as costing:
        assert costing(SPEC, 32, 7) == wanted


def test_a_latency_is_measured_on_the_int8_file(monkeypatch):
    measured = []
    estimate = TFLiteTarget.estimate

    def seen(self, path):
        measured.append(path.stat().st_size)
        return estimate(self, path)

    monkeypatch.setattr(TFLiteTarget, "estimate", seen)
    with open_costing(Objective(MICROSECONDS, 1000), HERE) as costing:
        small, large = (costing(SPEC, side, 7) for side in (32, 256))
    assert 0 < 4 * small < large  # 64 times the pixels
    assert len(measured) == 2


def test_a_target_that_tells_none_is_refused():
    objective = Objective(MICROSECONDS, 1000)
    with (
        open_costing(objective, Place("edgetpu")) as costing,
        pytest.raises(UsageError, match="nothing tells how long the target edgetpu takes"),
    ):
        costing(SPEC, 32, 7)
    with (
        pytest.raises(UsageError, match="a search is not for the target openvino"),
        open_costing(objective, Place("openvino")),
    ):
        pass


def test_a_place_is_for_a_latency(capsys):
    assert run(["search", "--macs", "1M", "--device", "local:"]) == 2
    assert "is of a latency" in capsys.readouterr().err
    assert run(["search", "--latency", "-1"]) == 2
    assert "--latency -1 is none" in capsys.readouterr().err


@pytest.mark.parametrize(("place", "fits"), [({"sram": 40_000}, True), ({"sram": 39_000}, False)])
def test_what_needs_more_memory_than_there_is_costs_too_much(place, fits):
    def ask(path, target):
        return ChipFigures(latency_ms=2.0, memory={target.memories["sram"]: 39_500})

    place = Place("ethosu", **place)
    with open_costing(Objective(MICROSECONDS, 1000), place, ask) as costing:
        assert costing(SPEC, 32, 7) == (2000.0 if fits else inf)


def test_memory_that_nothing_is_known_of_is_no_limit():
    place = Place("tflite", sram=1000)
    with (
        pytest.raises(UsageError, match="--sram is not for the target tflite"),
        open_costing(Objective(MICROSECONDS, 1000), place),
    ):
        pass


@pytest.mark.slow
def test_latency_is_measured_over_ssh(tmp_path, monkeypatch):
    if need := device.missing():
        skip_without(need)
    with device.serve_device(tmp_path) as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        place = Place(device=server.url)
        with open_costing(Objective(MICROSECONDS, 1000), place) as costing:
            assert 0 < costing(SPEC, 32, 7) < costing(SPEC, 256, 7)
