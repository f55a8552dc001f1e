from __future__ import annotations

import json

import pytest
from vela_outputs import text

from edgekit.errors import EdgekitError
from edgekit.targets.ethosu.summary import figure_lines, figures, parse_summary


def test_every_column_is_kept_under_its_own_name():
    summary = parse_summary(text("whole.csv"))
    header = text("whole.csv").splitlines()[0].split(",")
    assert list(summary) == header
    assert summary["accelerator_configuration"] == "Ethos_U85_256"
    assert summary["sram_memory_used"] == 1.21875
    json.dumps(summary, allow_nan=False)


def test_figures_are_bytes_and_milliseconds_and_say_whose_they_are():
    found = figures(parse_summary(text("partly.csv")))
    assert found["memory_bytes"] == {"SRAM": 960, "flash": 1168}
    assert 0 < found["milliseconds"] < 1
    assert found["milliseconds_by"] == "Vela's estimate"
    shown = "\n".join(figure_lines(found))
    assert "memory       SRAM 1 KiB, flash 1 KiB" in shown
    assert "(Vela's estimate, at 500 MHz)" in shown


def test_a_model_without_a_part_on_the_npu_has_no_time():
    header, row = text("partly.csv").splitlines()[:2]
    names, values = header.split(","), row.split(",")
    values[names.index("inference_time")] = "0.0"
    values[names.index("inferences_per_second")] = "nan"
    found = figures(parse_summary(f"{header}\n{','.join(values)}\n"))
    assert found["milliseconds"] is None
    assert figure_lines(found) == []


@pytest.mark.parametrize("table", ["", "a,b\n1,2\n"])
def test_another_table_is_refused(table):
    with pytest.raises(EdgekitError, match="summary cannot be read"):
        parse_summary(table)
