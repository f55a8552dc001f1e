from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.search.limits import Limits, Need, find_needs
from edgekit.targets import registry
from edgekit.targets.executions import ChipFigures

MEMORIES = {"sram": "SRAM", "flash": "flash"}


def test_without_a_limit_nothing_is_chosen():
    with pytest.raises(UsageError, match="without a limit everything fits"):
        Limits()


@pytest.mark.parametrize("name", ["latency", "sram", "flash", "size"])
def test_a_limit_is_above_zero(name):
    with pytest.raises(UsageError, match=f"--{name} 0 is not above 0"):
        Limits(**{name: 0})


def test_needs_are_compared_with_limits():
    found = ChipFigures(latency_ms=25.0, memory={"SRAM": 1 << 19, "flash": 3 << 20})
    limits = Limits(latency=20, sram=1 << 20, flash=4 << 20, size=2 << 20)
    needs = {need.limit: need for need in find_needs(limits, 3 << 20, found, MEMORIES)}
    assert {name: round(need.ratio, 2) for name, need in needs.items()} == {
        **{"size": 1.5, "latency": 1.25, "sram": 0.5, "flash": 0.75}
    }
    assert str(needs["latency"]) == "latency 25.0 ms, not 20.0 ms"
    assert str(needs["size"]) == "file 3,072 KiB, not 2,048 KiB"


def test_what_is_unknown_does_not_fit():
    (need,) = find_needs(Limits(latency=5), 1, ChipFigures(), MEMORIES)
    assert need.ratio == float("inf")
    assert str(need) == "its latency is not known"


def test_constants_that_are_in_dram_come_from_a_file_in_flash():
    found = ChipFigures(memory={"SRAM": 1, "DRAM": 9})
    (need,) = find_needs(Limits(flash=100), 50, found, MEMORIES)
    assert need == Need("flash", 50, 100)


def test_a_limit_that_nothing_is_known_of_is_refused():
    with pytest.raises(UsageError, match="--sram is not for the target tflite"):
        Limits(sram=1).check(registry.find("tflite"))
    Limits(sram=1).check(registry.find("tflm"))
