"""Says whether a device slowed down while it was measured, and by what that is known."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

#: Bits of the Raspberry Pi's `vcgencmd get_throttled`; those 16 higher: since it was switched on.
FIRMWARE = {
    0: "under-voltage",
    1: "its clock was capped",
    2: "it was throttled",
    3: "its soft temperature limit was reached",
}
SINCE_BOOT = 16
CLOCK_FELL = 0.9  # of the highest clock that was seen while it ran
LIMIT_FELL = 0.98
SLOWED = 1.2  # of the first runs' median; less is noise
MIN_RUNS = 12


def find_throttling(sensors: dict[str, Any], runs: Sequence[float]) -> list[str]:
    """Returns the signs of throttling in words; none where there are none, or no sensors.

    Args:
        sensors: ``before``, ``during`` and ``after``, as the agent has them.
        runs: seconds of the warm runs, in their order.
    """
    return [*_firmware(sensors), *_clock(sensors), *_thermal(sensors), *_slower(runs)]


def _firmware(sensors: dict[str, Any]) -> Iterator[str]:
    before = sensors["before"].get("throttled") or 0
    later = [sample.get("throttled") or 0 for sample in (*sensors["during"], sensors["after"])]
    now = new = 0
    for bits in (before, *later):
        now |= bits
    for bits in later:
        new |= bits & ~before
    for bit, words in FIRMWARE.items():
        if now >> bit & 1 or new >> (bit + SINCE_BOOT) & 1:
            yield words


def _clock(sensors: dict[str, Any]) -> Iterator[str]:
    limits = _known(sensors, "limit_mhz")
    start = sensors["before"].get("limit_mhz")
    if start and limits and min(limits) < LIMIT_FELL * start:
        yield f"the limit of its clock fell from {start:.0f} to {min(limits):.0f} MHz"
    clocks = [s["clock_mhz"] for s in sensors["during"] if s.get("clock_mhz")]
    if len(clocks) >= 3:
        last = statistics.median(clocks[-max(1, len(clocks) // 3) :])
        if last < CLOCK_FELL * max(clocks):
            yield f"its clock fell from {max(clocks):.0f} to {last:.0f} MHz"


def _thermal(sensors: dict[str, Any]) -> Iterator[str]:
    status = max(_known(sensors, "thermal_status"), default=0)
    if status:
        yield f"Android's thermal status was {status:.0f}"


def _slower(runs: Sequence[float]) -> Iterator[str]:
    third = len(runs) // 3
    if len(runs) < MIN_RUNS:
        return
    first, last = statistics.median(runs[:third]), statistics.median(runs[-third:])
    if last > SLOWED * first:
        yield f"its runs became {100 * (last / first - 1):.0f} % slower"


def _known(sensors: dict[str, Any], name: str) -> list[float]:
    samples = (sensors["before"], *sensors["during"], sensors["after"])
    return [sample[name] for sample in samples if sample.get(name) is not None]
