"""A table of the latencies of a space's blocks on a device, checked on whole networks."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.search.study.choices import Picks
from edgekit.search.study.objective import MICROSECONDS, Objective
from edgekit.search.study.space import SPACES, Space, find_space, scaled_near
from edgekit.search.tables.cut import CutNetwork, Files, cut_network
from edgekit.search.tables.line import Check, find_errors, fit_line
from edgekit.search.tables.measure import Device, open_device
from edgekit.search.tables.meter import Meter
from edgekit.search.tables.table import LatencyTable
from edgekit.system.console import Console, NullConsole
from edgekit.system.extras import import_optional
from edgekit.system.paths import StrPath
from edgekit.targets.measure.rounds import Rounds

#: Networks that the line is fitted to, and the fewest that it is checked on.
FITTED, LEAST_CHECKED = 8, 8
#: So many networks are drawn for one that is of use: many of a small space are the same.
DRAWS = 20
#: How files are timed where nothing is said.
ROUNDS = Rounds()


@dataclass(frozen=True)
class Asked:
    """A table as it is asked for.

    Attributes:
        space: a key of `edgekit.search.study.space.SPACES`.
        model: the network that the space is laid around.
        resolution: side of the input in pixels; the network's own by default.
        classes: how many logits.
        milliseconds: the space is laid around the network scaled to this latency, as a search for
            it has it; None for the network as it is.
        networks: how many are measured whole, to check the sums.
        rounds: how files are timed.
        device: URL of the device; None for this machine.
        python: the Python to use there.
    """

    space: str = "mbconv"
    model: str = "b0"
    resolution: int | None = None
    classes: int = 10
    milliseconds: float | None = None
    networks: int = 16
    rounds: Rounds = ROUNDS
    device: str | None = None
    python: str | None = None

    def __post_init__(self) -> None:
        if self.networks < LEAST_CHECKED:
            raise UsageError(f"--networks must be at least {LEAST_CHECKED}, not {self.networks}")
        if self.classes < 1:
            raise UsageError(f"--classes must be at least 1, not {self.classes}")
        if self.space not in SPACES:
            hint = did_you_mean(self.space, SPACES)
            raise UsageError(f"unknown space '{self.space}'", hint=hint)
        if self.milliseconds is not None and not 0 < self.milliseconds < 1e6:
            raise UsageError(f"--latency {self.milliseconds:g} is none", hint="such as 12")
        if (row := SPACES[self.space]).needs is not None:
            raise UsageError(
                f"there is no table of the space {self.space}",
                cause=f"its networks are those of one number of {row.needs}",
                hint="--space mbconv or size",
            )


def make_table(asked: Asked, path: StrPath, *, console: Console | None = None) -> LatencyTable:
    """Measures the blocks of a space on a device, or goes on with it.

    Args:
        asked: what for.
        path: of the table's file; one that is there is completed.
        console: where progress is shown.

    Raises:
        UsageError: the file is of another device, or there is no such space.
        DeviceError: the device went away; what was measured is in the file.
        MissingToolError: the device has no TFLite runtime, or this machine no scipy.
    """
    path, console = Path(path), console or NullConsole()
    import_optional("scipy.stats", "search", "a table's check")  # before the hour that it takes
    with (
        open_device(asked.device, asked.rounds, asked.python) as device,
        tempfile.TemporaryDirectory(prefix="edgekit-") as folder,
    ):
        meter = Meter(path, lambda: device, device)
        space = _lay_out(asked, meter, device)
        files = Files(Path(folder))
        with console.stage(1, 2, f"cut the space {asked.space} around {space.base.name}") as stage:
            whole = _cut_all(space, asked, meter, files, console)
            stage.detail = f"{len(files.words) - len(whole)} blocks that are not in the table"
        with console.stage(2, 2, f"measure on {device.host.name}") as stage:
            meter.measure(files, console.progress)
            table = _checked(meter.table, whole).save(path)
            assert table.check is not None  # noqa: S101 - it was just made
            stage.detail = f"error {100 * table.check.table.mape:.1f} % on {table.check.n} networks"
    return table


@dataclass(frozen=True)
class _Whole:
    """A network that is measured whole.

    Attributes:
        key: its file's.
        blocks: the keys of its blocks.
        macs: its multiply-accumulates.
    """

    key: str
    blocks: Sequence[str]
    macs: int


def _lay_out(asked: Asked, meter: Meter, device: Device) -> Space:
    base = find_spec(asked.model)
    side, target = asked.resolution or base.resolution, 1
    near = replace(base, resolution=side)
    if asked.milliseconds is not None:
        target = max(1, round(1000 * asked.milliseconds))
    objective = Objective(MICROSECONDS, target)
    if asked.milliseconds is not None and not SPACES[asked.space].has_sides:
        near = scaled_near(near, lambda one: meter.latency(one, side, asked.classes), target)
    return find_space(asked.space, near, objective, asked.classes)


def _cut_all(
    space: Space, asked: Asked, meter: Meter, files: Files, console: Console
) -> list[_Whole]:
    """Writes the files of all blocks and of the networks for the check; returns the latter."""

    def cut(picks: Picks, name: str) -> tuple[CutNetwork, int]:
        spec = space.spec(picks, name)
        network = cut_network(spec, spec.resolution, asked.classes)
        files.add_blocks(network, meter.table.entries)
        return network, cost(build_graph(spec, classes=asked.classes, seed=None)).macs

    covering = list(space.covering())
    for number, picks in enumerate(covering, 1):
        cut(picks, "covering")
        console.progress("write", number, len(covering))
    found: dict[str, _Whole] = {}
    rng, wanted = np.random.default_rng(0), asked.networks + FITTED
    for number in range(DRAWS * wanted):
        if len(found) == wanted:
            break
        picks = {c.name: c.values[rng.integers(len(c.values))] for c in space.choices}
        network, macs = cut(picks, "drawn")
        if network.key not in found:
            files.add_whole(network, f"network {number} of {asked.space} around {space.base.name}")
            found[network.key] = _Whole(network.key, network.keys, macs)
    return list(found.values())


def _checked(table: LatencyTable, whole: Sequence[_Whole]) -> LatencyTable:
    """The table with a line through the first networks, and its errors on the others."""
    measured = [table.entries[one.key].latency for one in whole]
    sums = [table.total(one.blocks) for one in whole]
    macs = [float(one.macs) for one in whole]
    first, rest = slice(FITTED), slice(FITTED, None)
    line, by_macs = (fit_line(values[first], measured[first]) for values in (sums, macs))
    unseen = measured[rest]
    check = Check(
        fitted=len(measured[first]),
        n=len(unseen),
        range_us=(min(unseen), max(unseen)),
        table=find_errors([line.at(value) for value in sums[rest]], unseen),
        plain=find_errors(sums[rest], unseen),
        macs=find_errors([by_macs.at(value) for value in macs[rest]], unseen),
    )
    return replace(table, line=line, check=check)
