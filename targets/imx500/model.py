"""A network in MCT's 8 bits: written as ONNX, and run by MCT's own operators."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edgekit.converters.torch import builder
from edgekit.data.images import Pixels
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.selection import evenly
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.system.files import write_bytes
from edgekit.system.text import size
from edgekit.targets.executions import Answers, as_answers
from edgekit.targets.imx500.network import make_bytes_plan
from edgekit.targets.imx500.toolchain import TOOLCHAIN
from edgekit.targets.toolchains.work import Advance, Job, run_job

WORKER = Path(__file__).with_name("worker.py")
#: Lite0 takes two minutes on two busy cores.
QUANTIZE_S = 3600.0
START_S = 300.0
PHOTO_S = 60.0
#: Calibration photos that MCT is given at the most: its histograms hardly change with more.
MOST_PHOTOS = 256


def write_quantized(
    graph: Graph, preprocessing: Preprocessing, calibration: Iterable[Pixels], path: Path
) -> str:
    """Quantizes a network with MCT, and writes what Sony's converter takes.

    Args:
        graph: prepared, float or quantized: of a quantized one, MCT is given its weights in
            float, which are equalized and have corrected biases; its scales are not powers of two.
        preprocessing: of the weights; the file keeps it, with the labels, as text in JSON.
        calibration: uint8 batches [n, height, width, 3].
        path: of the file.

    Returns:
        Its size.

    Raises:
        MissingToolError: MCT is not installed.
        EdgekitError: it failed.
    """
    plan = make_bytes_plan(graph, preprocessing)
    photos = np.concatenate(list(calibration))
    photos = photos[evenly(len(photos), MOST_PHOTOS)]
    arguments = {
        "builder": str(Path(builder.__file__).resolve()),
        "plan": plan.steps,
        "record": json.dumps(preprocessing.of_input("uint8", "NHWC").to_dict()),
    }
    job = Job(WORKER, "quantize", arguments, {**plan.arrays, "calibration": photos})
    contents = run_job(TOOLCHAIN, job, timeout_s=QUANTIZE_S).arrays["model"].tobytes()
    write_bytes(path, contents)
    return size(len(contents))


def read_record(path: Path) -> Preprocessing:
    """Returns how photos are cropped and which classes there are, as a file of ours keeps it.

    Raises:
        MissingToolError: Sony's packages are not installed.
        UsageError: the file is none of ours.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    job = Job(WORKER, "read", {"model": str(path.resolve())})
    record = run_job(TOOLCHAIN, job, timeout_s=START_S).values["record"]
    if record is None:
        raise UsageError(
            f"{path} does not say what its classes are",
            cause="it has no record of edgekit's",
            hint="write it with `edgekit build`",
        )
    return Preprocessing.from_dict(json.loads(record))


def answer(path: Path, pixels: Pixels, advance: Advance) -> Answers:
    """Runs a file on photos, uint8 [n, height, width, 3].

    Raises:
        MissingToolError: Sony's packages are not installed.
        EdgekitError: they failed.
    """
    job = Job(WORKER, "run", {"model": str(path.resolve())}, {"photos": pixels})
    limit = START_S + PHOTO_S * len(pixels)
    done = run_job(TOOLCHAIN, job, timeout_s=limit, advance=advance)
    return Answers(as_answers(done.arrays["outputs"], channels_first=True))
