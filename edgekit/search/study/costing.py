"""What a network costs: counted on its graph, or measured where it shall run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeAlias

from edgekit.converters.tflite.untrained import write_untrained
from edgekit.errors import CompileError, UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.search.estimates import ENDING, Estimate
from edgekit.search.limits import Limits, find_needs
from edgekit.search.study.objective import COSTS, MICROSECONDS, Objective
from edgekit.search.tables.measure import open_device
from edgekit.search.tables.meter import Meter
from edgekit.search.tables.table import LatencyTable, load_table
from edgekit.targets import registry
from edgekit.targets.base import Target
from edgekit.targets.measure.rounds import Rounds

#: Of a network with a side of its input and so many classes: its cost.
Costing: TypeAlias = Callable[[ModelSpec, int, int], float]


@dataclass(frozen=True)
class Place:
    """Where latency is of.

    Attributes:
        target: whose compiler, estimator or runtime says it.
        device: that is measured in its stead.
        table: file of a table of blocks whose sum says it; those that it lacks are measured.
        sram: bytes of working memory that a network may need there; None for any number.
        flash: likewise, of memory that is only read.
    """

    target: str = "tflite"
    device: str | None = None
    table: str | None = None
    sram: int | None = None
    flash: int | None = None

    @property
    def limits(self) -> Limits | None:
        """What is allowed beside the latency, if anything is limited."""
        if self.sram is None and self.flash is None:
            return None
        return Limits(sram=self.sram, flash=self.flash)


#: LiteRT on this host.
HERE = Place()


@contextmanager
def open_costing(
    objective: Objective, place: Place, ask: Estimate | None = None
) -> Iterator[Costing]:
    """What tells the cost of networks, with a connection to the device where there is one.

    A measured network is its int8 file with random weights: these cost nothing.

    Args:
        objective: names the cost.
        place: where a latency is of.
        ask: says what a whole network's file needs, in place of the target or its device.

    Raises:
        UsageError: nothing there tells a latency.
        DeviceError: the device cannot be reached.
    """
    if objective.cost != MICROSECONDS:
        yield lambda spec, side, classes: COSTS[objective.cost](
            cost(build_graph(spec, classes=classes, resolution=side, seed=None))
        )
        return
    target = registry.find(place.target)
    if target.ending != ENDING:
        raise UsageError(
            f"a search is not for the target {target.name}",
            cause=f"candidates are written as {ENDING}, and it takes {target.takes}",
            hint="--target tflite, or another that takes such files",
        )
    if (limits := place.limits) is not None:
        limits.check(target)
    if place.table is not None:
        with _tabulated(Path(place.table), target, place.device) as costing:
            yield costing
        return
    with (
        nullcontext(ask) if ask else _asking(place.device) as asked,
        tempfile.TemporaryDirectory(prefix="edgekit-") as folder,
    ):
        path = Path(folder) / f"candidate{ENDING}"
        yield lambda spec, side, classes: _measured(
            write_untrained(spec, side, classes=classes, rewrite=target.prepare),
            _Whole(target, path, asked, limits),
        )


@contextmanager
def _tabulated(path: Path, target: Target, device: str | None) -> Iterator[Costing]:
    """What tells latencies by a table; the device is opened where a block is missing."""
    if target.compiles or target.toolchains:
        raise UsageError(
            f"--table is not for the target {target.name}",
            cause="the times of blocks do not add up on accelerators",
            hint="leave it out: whole networks are estimated then",
        )
    table = _load_checked(path)
    rounds = Rounds(table.identity.threads)
    with ExitStack() as stack:
        meter = Meter(path, lambda: stack.enter_context(open_device(device, rounds)))
        yield meter.latency


@contextmanager
def _asking(device: str | None) -> Iterator[Estimate]:
    from edgekit.search.estimates import estimate
    from edgekit.search.on_device import measure_on
    from edgekit.targets.devices.open import open_host

    if device is None:
        yield estimate
        return
    with open_host(device) as host:
        yield measure_on(host)


def _load_checked(path: Path) -> LatencyTable:
    """Reads a table that may be added up.

    Raises:
        UsageError: it was not checked, or its device's time does not add up.
    """
    table = load_table(path)
    if table.check is None:
        raise UsageError(
            f"{path} is not finished",
            cause="its sums were not compared with whole networks",
            hint=f"edgekit latency-table --out {path}",
        )
    if not table.check.holds:
        raise UsageError(
            f"the times of blocks do not add up on the device of {path}",
            cause=f"the error on {table.check.n} networks is {100 * table.check.table.mape:.1f} %",
            hint="leave --table out: whole networks are measured then",
        )
    return table


@dataclass(frozen=True)
class _Whole:
    """What networks as wholes are measured with.

    Attributes:
        target: whose files they are.
        path: where such a file is written.
        ask: what says what one needs.
        limits: what it may need beside time.
    """

    target: Target
    path: Path
    ask: Estimate
    limits: Limits | None


def _measured(contents: bytes, meter: _Whole) -> float:
    """Microseconds of an inference; infinite of what the target or its memory does not take."""
    target, limits = meter.target, meter.limits
    meter.path.write_bytes(contents)
    try:
        found = meter.ask(meter.path, target)
    except CompileError:
        return inf
    if limits and any(
        need.ratio > 1 for need in find_needs(limits, len(contents), found, target.memories)
    ):
        return inf
    if found.latency_ms is None:
        raise UsageError(
            f"nothing tells how long the target {target.name} takes",
            hint="--device URL, or --macs",
        )
    return 1000 * found.latency_ms
