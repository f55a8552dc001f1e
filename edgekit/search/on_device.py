"""What a file needs on a device: measured there, with as many threads as are fastest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.converters.tflite import file as tflite_file
from edgekit.errors import DeviceError, UsageError
from edgekit.search.estimates import Estimate
from edgekit.targets.base import Target
from edgekit.targets.devices.hosts import Host
from edgekit.targets.executions import ChipFigures
from edgekit.targets.measure.device import Job, measure

#: Of one measurement: enough to tell networks apart.
RUNS, SECONDS = 50, 3.0


def measure_on(host: Host) -> Estimate:
    """Returns what measures files on a device; nothing of it is kept, as a device changes.

    Args:
        host: the device.
    """

    def ask(path: Path, target: Target) -> ChipFigures:
        if target.compiles:
            raise UsageError(
                f"--device is not for the target {target.name}",
                cause="what runs there is compiled first",
                hint="`edgekit bench FILE --device URL` measures a compiled file",
            )
        model = tflite_file.read(path)
        shape = (1, *model.tensors[model.inputs[0]].shape[1:])
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        job = Job(path, model, pixels, table=None, runs=RUNS, seconds=SECONDS)
        found = measure(host, job, lambda task, done, total: None)
        if not found.latency:
            raise next(iter(found.problems), DeviceError(f"{host.name} measured nothing"))
        step, figures = min(found.latency.items(), key=lambda item: float(item[1]["median"]))
        threads = f"{step.threads} thread{'s' * (step.threads != 1)}"
        return ChipFigures(
            latency_ms=float(figures["median"]),
            latency_by=f"measured on {host.name}, {threads}, {found.how}",
        )

    return ask
