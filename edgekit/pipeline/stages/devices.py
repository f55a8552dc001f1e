"""The last step of a build with ``--device``: the int8 file on this host and on devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit import bench_devices
from edgekit.bench_devices import Device
from edgekit.bench_photos import Photos, spread
from edgekit.console import Console
from edgekit.data import Splits
from edgekit.errors import EdgekitError
from edgekit.options import BuildOptions
from edgekit.preprocessing import Preprocessing


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
    chosen = spread(len(splits.val), options.device_limit)
    pixels = np.stack([preprocessing.pixels(splits.val.load(k)) for k in chosen])
    truth = splits.val.labels[np.array(chosen)]
    photos = Photos(splits.source, pixels, truth if options.head == "classifier" else None)
    job = bench_devices.make_job(model, photos)
    method = bench_devices.choose_method(None, options.benchmark_binary)
    document, problems = bench_devices.measure(job, photos, options.devices, method, console)
    return document["devices"], problems
