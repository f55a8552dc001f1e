"""Tries an Android bundle's model on the phone, before the bundle is put in place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgekit.converters.file_task import OF_MAPS
from edgekit.data.normalization import Normalization
from edgekit.errors import EdgekitError, MissingToolError
from edgekit.system.paths import StrPath
from edgekit.targets.deploy.boxes import share_found
from edgekit.targets.deploy.programs import OTHER_PIXELS, SAME_BOXES, classes_in, tolerance
from edgekit.targets.devices.hosts import LocalHost
from edgekit.targets.devices.open import open_host
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.isolated import read_answering
from edgekit.targets.measure.method import choose_method
from edgekit.targets.measure.photos import load_photos, make_job


def on_phone(
    url: str,
    python: str | None,
    binary: StrPath | None,
    normalization: Normalization | None = None,
) -> Callable[[Path], str]:
    """Returns what tries a model on a phone with one picture, and says what came of it.

    Args:
        url: of the phone.
        python: a Python there that has a TFLite runtime; None to look for one.
        binary: TensorFlow Lite's `benchmark_model`, to use in its place.
        normalization: of a float input whose file does not state it.

    Returns:
        A function of the model's path. It raises EdgekitError where the phone answers otherwise
        than this host, and DeviceError where it cannot be reached.
    """
    method = choose_method(python, binary)

    def check(model: Path) -> str:
        photos = load_photos(model, None, None)
        job = make_job(model, photos, normalization=normalization, threads=(1,), runs=1)
        with open_host(url) as phone:
            try:
                there = method(phone, job, lambda *_: None)
            except MissingToolError as error:
                return f"not run on the phone: {error.message}; give --benchmark-binary FILE"
        # This Python has a runtime: others of this machine are not looked for.
        here = measuring.measure(LocalHost(), job, lambda *_: None, sys.executable)
        for problem in there.problems:
            raise problem
        (own,), (other,) = here.outputs.values(), there.outputs.values()
        if photos.task == OF_MAPS:
            same = float((classes_in(own[0]) == classes_in(other[0])).mean())
            if same < 1 - OTHER_PIXELS:
                raise EdgekitError(
                    f"{url} does not answer as this host does",
                    cause=f"only {same:.2%} of the pixels have the same class with {there.how} "
                    f"({here.how} here)",
                    hint="update the runtime on the older side",
                )
            return f"{same:.2%} of the pixels have the same class as here with {there.how}"
        if read_answering(model)[2].boxes is not None:
            share, count = share_found(own[0], other[0])
            if share < SAME_BOXES:
                raise EdgekitError(
                    f"{url} does not answer as this host does",
                    cause=f"only {share:.0%} of the {count} best boxes are the same with "
                    f"{there.how} ({here.how} here)",
                    hint="update the runtime on the older side",
                )
            return f"{share:.0%} of the {count} best boxes are the same as here with {there.how}"
        off = float(np.abs(other.astype(np.float64) - own).max())
        if off > tolerance(own, own.dtype.kind == "f"):
            raise EdgekitError(
                f"{url} does not answer as this host does",
                cause=f"outputs are up to {off:.3g} off with {there.how} ({here.how} here)",
                hint="update the runtime on the older side",
            )
        return f"answers as this host does with {there.how} (largest difference {off:.3g})"

    return check
