from __future__ import annotations

import pytest

from edgekit.targets.measure.throttling import find_throttling

STEADY = [0.01] * 30
VOLTAGE, CAPPED, THROTTLED, SOFT = (
    "under-voltage",
    "its clock was capped",
    "it was throttled",
    "its soft temperature limit was reached",
)


def sensors(name=None, *values):
    """Samples of one sensor: before, during …, after."""
    before, *during, after = [{name: value} if name else {} for value in values] or [{}, {}]
    return {"before": before, "during": during, "after": after}


def clocks(*during):
    return sensors("clock_mhz", 600.0, *during, 600.0)


@pytest.mark.parametrize(
    ("seen", "runs", "words"),
    [
        # Nothing, or no sensors.
        (sensors(), STEADY, []),
        (sensors(), [], []),
        (sensors("throttled", None, None, None), STEADY, []),
        (sensors("limit_mhz", None, None, None), STEADY, []),
        (sensors("thermal_status", None, None), STEADY, []),
        (clocks(None, None, None, None), STEADY, []),
        ({"before": {}, "during": [], "after": {"temperature_c": 90.0}}, STEADY, []),
        # The bits of a Raspberry Pi's firmware, of now …
        (sensors("throttled", 0, 0, 0), STEADY, []),
        (sensors("throttled", 0, 0x1, 0), STEADY, [VOLTAGE]),
        (sensors("throttled", 0, 0x2, 0), STEADY, [CAPPED]),
        (sensors("throttled", 0, 0, 0x4), STEADY, [THROTTLED]),
        (sensors("throttled", 0x8, 0, 0), STEADY, [SOFT]),
        (sensors("throttled", 0, 0x1, 0x4), STEADY, [VOLTAGE, THROTTLED]),
        (sensors("throttled", 0, 0xF, 0), STEADY, [VOLTAGE, CAPPED, THROTTLED, SOFT]),
        (sensors("throttled", 0x50005, 0x50005, 0x50005), STEADY, [VOLTAGE, THROTTLED]),
        # … and since it was switched on: only what is new.
        (sensors("throttled", 0x50000, 0x50000, 0x50000), STEADY, []),
        (sensors("throttled", 0xF0000, 0xF0000), STEADY, []),
        (sensors("throttled", 0, 0x10000, 0x10000), STEADY, [VOLTAGE]),
        (sensors("throttled", 0x10000, 0x10000, 0x50000), STEADY, [THROTTLED]),
        (sensors("throttled", 0, 0xE0000), STEADY, [CAPPED, THROTTLED, SOFT]),
        (sensors("throttled", 0, 0x40004, 0x40000), STEADY, [THROTTLED]),
        (sensors("throttled", 0x10000, 0x10001, 0x10000), STEADY, [VOLTAGE]),
        (sensors("throttled", 0, None, 0x10000), STEADY, [VOLTAGE]),
        (sensors("throttled", 0, 0x10, 0), STEADY, []),
        # The limit of the clock.
        (sensors("limit_mhz", 1800.0, 1800.0, 1800.0), STEADY, []),
        (sensors("limit_mhz", 1800.0, 1790.0, 1800.0), STEADY, []),
        (sensors("limit_mhz", 1000.0, 1800.0, 1800.0), STEADY, []),
        (sensors("limit_mhz", None, 1800.0, 1000.0), STEADY, []),
        (
            sensors("limit_mhz", 1800.0, 1800.0, 1000.0, 1400.0),
            STEADY,
            ["the limit of its clock fell from 1800 to 1000 MHz"],
        ),
        (
            sensors("limit_mhz", 1800.0, None, 1500.0),
            STEADY,
            ["the limit of its clock fell from 1800 to 1500 MHz"],
        ),
        # The clock while it ran.
        (clocks(1800.0, 1800.0, 1800.0), STEADY, []),
        (clocks(1800.0, 600.0), STEADY, []),
        (clocks(600.0, 1800.0, 1800.0), STEADY, []),
        (clocks(1800.0, 1800.0, 1700.0), STEADY, []),
        (clocks(1800.0, None, 600.0), STEADY, []),
        (clocks(1800.0, 1800.0, 1000.0), STEADY, ["its clock fell from 1800 to 1000 MHz"]),
        (
            clocks(1800.0, 1800.0, 1800.0, 1500.0, 1200.0, 1201.0, 600.0, 1200.0, 1201.0),
            STEADY,
            ["its clock fell from 1800 to 1200 MHz"],
        ),
        # Android.
        (sensors("thermal_status", 0, 0, 0), STEADY, []),
        (sensors("thermal_status", 0, 2, 1), STEADY, ["Android's thermal status was 2"]),
        (sensors("thermal_status", 1, None, 0), STEADY, ["Android's thermal status was 1"]),
        # The runs themselves.
        (sensors(), [0.01] * 20 + [0.015] * 10, ["its runs became 50 % slower"]),
        (sensors(), [0.01] * 20 + [0.0119] * 10, []),
        (sensors(), [0.02] * 20 + [0.01] * 10, []),
        (sensors(), [0.01] * 29 + [1.0], []),
        (sensors(), [0.01] * 8 + [0.02] * 4, ["its runs became 100 % slower"]),
        (sensors(), [0.01] * 7 + [0.02] * 4, []),
        # Everything at once, in this order.
        (
            {
                "before": {"throttled": 0, "limit_mhz": 1800.0},
                "during": [{"clock_mhz": mhz, "thermal_status": 3} for mhz in (1800.0, 900.0, 600)],
                "after": {"throttled": 0x40000, "limit_mhz": 600.0},
            },
            [0.01] * 20 + [0.03] * 10,
            [
                THROTTLED,
                "the limit of its clock fell from 1800 to 600 MHz",
                "its clock fell from 1800 to 600 MHz",
                "Android's thermal status was 3",
                "its runs became 200 % slower",
            ],
        ),
    ],
)
def test_words(seen, runs, words):
    assert find_throttling(seen, runs) == words
