"""Reading the memory report of Sony's converter, as 3.19.2 writes it."""

from __future__ import annotations

import pytest

from edgekit.errors import CompileError
from edgekit.targets.imx500.memory import parse_memory

#: Of Lite0 at 224 px, five classes.
LITE0 = {
    "Memory Report": {
        "Name": "mct",
        "Runtime Memory Physical Size": "1.59MB",
        "Model Memory Physical Size": "3.56MB",
        "Reserved Memory": "1.00KB",
        "Memory Usage": "5.16MB",
        "Total Memory Available On Chip": "8.00MB",
        "Memory Utilization": "65%",
        "Fit In Chip": True,
        "Input Persistent": True,
        "Networks": [],
    }
}


def test_a_network_that_fits():
    memory = parse_memory(LITE0)
    assert (memory.used, memory.available) == (round(5.16 * 2**20), 8 * 2**20)
    assert memory.figures.memory["weights"] == round(3.56 * 2**20)
    assert memory.figures.fits is True
    assert "does not fit" not in str(memory)


def test_sizes_in_bytes():
    said = {**LITE0["Memory Report"], "Memory Usage": "5407488B", "Fit In Chip": False}
    memory = parse_memory({"Memory Report": said})
    assert memory.used == 5_407_488
    assert str(memory).endswith("it does not fit")


@pytest.mark.parametrize("report", [{}, {"Memory Report": {}}, {"Memory Report": None}])
def test_another_report_is_refused(report):
    with pytest.raises(CompileError, match="cannot be read"):
        parse_memory(report)
