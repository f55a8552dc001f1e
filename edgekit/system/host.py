"""The machine that built and measured, as far as it explains the figures."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict


def describe_host(packages: Iterable[str]) -> Host:
    """Describes this machine; it names neither the host nor the user.

    Args:
        packages: names of distributions whose versions matter; those not installed are left out.
    """
    return Host(
        machine=platform.machine(),
        cpu=cpu_name(),
        cores=usable_cores(),
        int8_dot_product=int8_dot_product(),
        python=platform.python_version(),
        versions={name: found for name in packages if (found := installed(name))},
    )


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Returns the processor's name as the system gives it, else the machine type."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


# Multiply-accumulate instructions for bytes, as Linux names them on x86 and on Arm.
INT8_DOT_PRODUCT = {
    "avx512_vnni",
    "avx_vnni",
    "avx_vnni_int8",
    "amx_int8",
    "asimddp",
    "i8mm",
    "svei8mm",
}


def int8_dot_product(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Says whether this CPU multiplies and adds bytes in one instruction; None: not known."""
    flags = _flags(cpuinfo)
    return None if flags is None else not INT8_DOT_PRODUCT.isdisjoint(flags)


#: Kinds of processors that an int8 file can be written for: any; x86-64 that multiplies bytes by
#: AVX2 alone; and x86-64 that has VNNI.
CPUS = ("any", "avx2", "vnni")


def this_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Returns which of `CPUS` this processor is; ``any`` where the system does not say."""
    flags = _flags(cpuinfo) or set()
    if flags & {"avx512_vnni", "avx_vnni"}:
        return "vnni"
    return "avx2" if "avx2" in flags else "any"


def _flags(cpuinfo: Path) -> set[str] | None:
    """What the first processor has; None where the system does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return {*value.split()}
    return None


def usable_cores() -> int:
    """Returns how many cores this process may use, which a container may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def installed(package: str) -> str | None:
    """Returns the version of a distribution, None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Host(TypedDict):
    """The machine that built and measured."""

    machine: str  # as in `uname -m`
    cpu: str  # the processor's name
    cores: int  # that the process may use
    int8_dot_product: bool | None  # instructions for bytes (VNNI, dotprod); None: not known
    python: str  # its version
    versions: dict[str, str]  # of the packages that decide results
