"""The last step of a build with ``--device``: the int8 file on this host and on devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.bench import devices as bench_devices
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.selection import evenly
from edgekit.data.splits import Splits
from edgekit.errors import EdgekitError
from edgekit.options.build import BuildOptions
from edgekit.report.document import Device
from edgekit.system.console import Console
from edgekit.targets.measure.method import choose_method
from edgekit.targets.measure.photos import Photos, make_job
from edgekit.tasks.registry import find_task


def measure(
    options: BuildOptions,
    model: Path,
    splits: Splits,
    preprocessing: Preprocessing,
    console: Console,
) -> tuple[list[Device], Sequence[EdgekitError]]:
    """Measures the int8 file on the host and on the devices that the options name.

    Returns:
        What was measured, the host first, and what went wrong; a device that is gone does not
        stop the others.
    """
    chosen = evenly(len(splits.val), options.device_limit)
    pixels = np.stack([preprocessing.pixels(splits.val.load(k)) for k in chosen])
    task = find_task(preprocessing.task)
    truth = task.labels(splits.val.subset(chosen), preprocessing)
    known = truth if options.head == "classifier" else None
    photos = Photos(splits.source, pixels, known, task.name, preprocessing=preprocessing)
    job = make_job(model, photos)
    method = choose_method(None, options.benchmark_binary)
    document, problems = bench_devices.measure(job, photos, options.devices, method, console)
    return document["devices"], problems
