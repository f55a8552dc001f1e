"""The NPU's arithmetic on photos: Arm's reference model of TOSA, which the Ethos-U85 implements."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from edgekit.converters.tflite.file import Tensor, read_bytes
from edgekit.data.images import Pixels
from edgekit.targets.ethosu.nearest import with_half_pixels
from edgekit.targets.ethosu.tools import TOSA
from edgekit.targets.executions import Answers, Execution
from edgekit.targets.toolchains.work import Advance, Job, run_job

WORKER = Path(__file__).with_name("tosa_worker.py")
STARTING_S, PHOTO_S = 300, 60  # far more than any takes: a Lite0 at 224 px 0.8 s a photo


def execution() -> Execution:
    """Returns the reference model as a row of a report."""
    return Execution(
        row="w8a8-tosa",
        of="w8a8",
        runtime=f"{TOSA.title} {TOSA.version}",
        kind="reference model",
        toolchain=TOSA,
        run=run_reference,
        exact=True,
    )


def run_reference(path: Path, photos: Pixels, advance: Advance) -> Answers:
    """Answers for photos by an int8 .tflite file.

    Args:
        path: of the file.
        photos: uint8 [n, height, width, 3].
        advance: called with the photos done, and with how many there are.

    Raises:
        UsageError: the file takes no photo.
        MissingToolError: the reference model is not installed.
        CompileError: the file cannot be written as TOSA.
        EdgekitError: the tool failed, crashed or hung.
    """
    from edgekit.runtimes.litert import LiteRT

    model = LiteRT(path)
    inputs = np.concatenate([model.feed(photo) for photo in photos])
    limit = STARTING_S + PHOTO_S * len(photos)
    with TemporaryDirectory(prefix="edgekit-") as folder:
        given = Path(folder, path.name)
        given.write_bytes(with_half_pixels(read_bytes(path)))
        job = Job(WORKER, "run", {"model": str(given)}, {"inputs": inputs})
        done = run_job(TOSA, job, timeout_s=limit, advance=advance)
    answer = model.answer
    pairs = zip(answer.places, answer.outputs, strict=True)
    own = [in_own_type(done.arrays[f"output{place}"], tensor) for place, tensor in pairs]
    return Answers(answer.read_all(own))


def in_own_type(outputs: NDArray[np.generic], tensor: Tensor) -> NDArray[np.generic]:
    """Returns an output as LiteRT has it.

    Args:
        outputs: [n, ...]; unsigned integers may have come as signed ones of the same bits.
        tensor: the model's output.
    """
    dtype = np.dtype(tensor.dtype)
    values = outputs.view(dtype) if outputs.dtype.itemsize == dtype.itemsize else outputs
    if tensor.scale is None and dtype == np.uint8:
        # Numbers of classes: the converter takes all bytes for scaled ones, and shifts them.
        values = values.astype(np.uint8) ^ np.uint8(128)
    return values
