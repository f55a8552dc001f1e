"""Figures as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.report import describe_host
from edgekit.system import text as fmt
from edgekit.system.host import cpu_name


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (fmt.percent, 0.93071, "93.07"),
        (fmt.percent, 1.0, "100.00"),
        (fmt.percent, None, fmt.NOTHING),
        (fmt.percent, math.nan, fmt.NOTHING),
        (fmt.points, 0.1359, "0.14"),
        (fmt.points, -0.1359, "\N{MINUS SIGN}0.14"),
        (fmt.points, -0.001, "0.00"),
        (fmt.points, None, fmt.NOTHING),
        (fmt.nats, 0.01537, "0.0154"),
        (fmt.nats, math.nan, fmt.NOTHING),
        (fmt.milliseconds, 8.614, "8.61"),
        (fmt.milliseconds, 9.999, "10.0"),
        (fmt.milliseconds, 99.97, "100"),
        (fmt.milliseconds, 1432.4, "1432"),
        (fmt.milliseconds, math.inf, fmt.NOTHING),
        (fmt.rate, 3.25, "3.2"),
        (fmt.rate, 99.96, "100"),
        (fmt.rate, 12345.6, "12,346"),
        (fmt.rate, None, fmt.NOTHING),
        (fmt.size, 0, "0 B"),
        (fmt.size, 999, "999 B"),
        (fmt.size, 1000, "1.0 kB"),
        (fmt.size, 5_266_432, "5.3 MB"),
        (fmt.size, 99_960, "100 kB"),
        (fmt.size, 999_700, "1.0 MB"),
        (fmt.size, 123_456_789, "123 MB"),
        (fmt.size, 3_210_000_000, "3.2 GB"),
        (fmt.size, None, fmt.NOTHING),
        (fmt.seconds, 0.04, "0.0 s"),
        (fmt.seconds, 8.64, "8.6 s"),
        (fmt.seconds, 59.96, "1 min 00 s"),
        (fmt.seconds, 125, "2 min 05 s"),
        (fmt.seconds, 3599.7, "1 h 00 min"),
        (fmt.seconds, 3720, "1 h 02 min"),
    ],
)
def test_figures(function: Callable[[Any], str], value: float | None, text: str) -> None:
    assert function(value) == text


def test_host_names_no_one(tmp_path: Path) -> None:
    host = describe_host(["numpy", "no-such-distribution"])
    assert list(host["versions"]) == ["numpy"]
    assert host["cores"] >= 1
    assert host["cpu"]
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nmodel name\t: Fast CPU @ 2 GHz\n\nmodel name : other\n")
    assert cpu_name(cpuinfo) == "Fast CPU @ 2 GHz"
    cpuinfo.write_text("processor : 0\nModel\t\t: Raspberry Pi 5\n")
    assert cpu_name(cpuinfo) == "Raspberry Pi 5"
    assert cpu_name(tmp_path / "missing")
