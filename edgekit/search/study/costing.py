"""What a network costs: counted on its graph, or measured where it shall run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeAlias

from edgekit.errors import CompileError, UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.search.estimates import ENDING, Estimate
from edgekit.search.study.objective import COSTS, MICROSECONDS, Objective
from edgekit.targets import registry
from edgekit.targets.base import Target

#: Of a network with a side of its input and so many classes: its cost.
Costing: TypeAlias = Callable[[ModelSpec, int, int], float]


@dataclass(frozen=True)
class Place:
    """Where latency is of.

    Attributes:
        target: whose compiler, estimator or runtime says it.
        device: that is measured in its stead.
    """

    target: str = "tflite"
    device: str | None = None


#: LiteRT on this host.
HERE = Place()


@contextmanager
def open_costing(objective: Objective, place: Place) -> Iterator[Costing]:
    """What tells the cost of networks, with a connection to the device where there is one.

    A measured network is its int8 file with random weights: these cost nothing.

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
    with (
        _asking(place.device) as ask,
        tempfile.TemporaryDirectory(prefix="edgekit-") as folder,
    ):
        path = Path(folder) / f"candidate{ENDING}"
        yield lambda spec, side, classes: _measured(spec, side, classes, target, path, ask)


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


def _measured(
    spec: ModelSpec, side: int, classes: int, target: Target, path: Path, ask: Estimate
) -> float:
    """Microseconds of an inference; infinite of what the target does not take."""
    from edgekit.converters.tflite.untrained import write_untrained

    path.write_bytes(write_untrained(spec, side, classes=classes, rewrite=target.prepare))
    try:
        latency = ask(path, target).latency_ms
    except CompileError:
        return inf
    if latency is None:
        raise UsageError(
            f"nothing tells how long the target {target.name} takes",
            hint="--device URL, or --macs",
        )
    return 1000 * latency
