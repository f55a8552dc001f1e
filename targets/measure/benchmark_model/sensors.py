"""Reads temperature, clock and throttling of a host that has no Python, such as a phone.

The files are those of Linux's `Documentation/driver-api/thermal/sysfs-api.rst` and
`Documentation/admin-guide/pm/cpufreq.rst`; `dumpsys thermalservice` is Android's
`ThermalManagerService`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edgekit.targets.devices.hosts import Host

TIMEOUT_S = 20.0
# Only what the shell itself can do, as a phone has a hundred zones and a process for each would
# warm it up. A file that is missing or unreadable leaves its value empty.
SCRIPT = """\
value() { v=; { read -r v < "$1"; } 2> /dev/null; }
for zone in "$1"/class/thermal/thermal_zone*; do
  value "$zone/type"; type=$v
  value "$zone/temp"
  echo "zone|$type|$v"
done
for cpu in "$1"/devices/system/cpu/cpu[0-9]*/cpufreq; do
  value "$cpu/scaling_cur_freq"; clock=$v
  value "$cpu/cpuinfo_max_freq"; max=$v
  value "$cpu/scaling_max_freq"; limit=$v
  value "$cpu/scaling_governor"
  echo "cpu|$clock|$max|$limit|$v"
done
dumpsys thermalservice 2> /dev/null
exit 0
"""
# Qualcomm's zone "soc" is no temperature but the battery's state of charge.
_CPU_ZONE = re.compile(
    r"cpu|^(big|mid|little|apc|apss)|cluster|^soc.|coretemp|x86_pkg|exynos", re.I
)
_OTHER_ZONE = re.compile(r"gpu|batt|charg|skin|soc-?(level|max)", re.I)
_STATUS = re.compile(r"Thermal Status: (\d+)")


@dataclass(frozen=True)
class Sensors:
    """What a host tells of its heat and speed.

    Attributes:
        host: whose.
        folder: absolute path of a folder there.
        root: where the kernel's sysfs is.
    """

    host: Host
    folder: str
    root: str = "/sys"

    def sample(self) -> dict[str, Any]:
        """Reads all sensors at once; see `parse`."""
        command = ["sh", "-c", SCRIPT, "sh", self.root]
        return parse(self.host.run(command, self.folder, TIMEOUT_S).text)


def parse(text: str) -> dict[str, Any]:
    """Reads what `SCRIPT` prints; what a host does not tell is None.

    Returns:
        ``temperature_c`` of the hottest zone of the CPU; ``clock_mhz``, the fastest core's clock
        now; ``max_clock_mhz``, what the hardware allows; ``limit_mhz``, what the system allows at
        the moment; ``governor`` of the fastest core; ``thermal_status``, Android's 0 (none) to 6
        (shutdown).
    """
    rows = [line.strip().split("|") for line in text.splitlines()]
    zones = [row[1:] for row in rows if row[0] == "zone" and len(row) == 3]
    cores = [row[1:] for row in rows if row[0] == "cpu" and len(row) == 5]
    heat = [_celsius(value) for kind, value in zones if _is_cpu(kind)]
    status = _STATUS.search(text)
    fastest = max(cores, key=lambda core: _mhz(core[1]) or 0, default=["", "", "", ""])
    return {
        "temperature_c": max((value for value in heat if value is not None), default=None),
        "clock_mhz": _most(core[0] for core in cores),
        "max_clock_mhz": _most(core[1] for core in cores),
        "limit_mhz": _most(core[2] for core in cores),
        "governor": fastest[3] or None,
        "thermal_status": int(status[1]) if status else None,
    }


def _is_cpu(kind: str) -> bool:
    return bool(_CPU_ZONE.search(kind)) and not _OTHER_ZONE.search(kind)


def _celsius(value: str) -> float | None:
    """Reads thousandths of a degree, or of old kernels tenths or whole ones; None for nonsense."""
    if not re.fullmatch(r"-?\d{1,9}", value):
        return None
    number = int(value)
    degrees = number / (1000 if abs(number) >= 1000 else 10 if abs(number) > 150 else 1)
    return degrees if 0 < degrees < 150 else None  # a zone that is off says 0, -40 or -274


def _most(values: Any) -> float | None:
    return max((mhz for mhz in map(_mhz, values) if mhz is not None), default=None)


def _mhz(kilohertz: str) -> float | None:
    return int(kilohertz) / 1000 if re.fullmatch(r"[1-9]\d{0,9}", kilohertz) else None
