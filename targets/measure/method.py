"""How a device is measured: by the agent, or with the user's benchmark_model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.targets.devices.hosts import Host
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.device import Job, Measured, Progress

Method = Callable[[Host, Job, Progress], Measured]


def choose_method(python: str | None, binary: StrPath | None) -> Method:
    """How devices are measured: by the agent, or with the user's `benchmark_model`.

    Raises:
        UsageError: both are given, or the binary is not there.
    """
    binary = Path(binary) if binary is not None else None
    if binary is None:
        return partial(measuring.measure, python=python)
    if python is not None:
        raise UsageError("a Python and a benchmark binary exclude each other")
    if not binary.is_file():
        raise UsageError(f"--benchmark-binary {binary} is no file")
    from edgekit.targets.measure.benchmark_model import device as measuring_binary

    return partial(measuring_binary.measure, binary=binary)
