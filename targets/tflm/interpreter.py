"""TFLite Micro's own interpreter on a file: its answers, and the memory that it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.converters.tflite import file as tflite_file
from edgekit.data.images import Pixels
from edgekit.runtimes.litert import LiteRT
from edgekit.targets.executions import Answers, ChipFigures
from edgekit.targets.tflm.allocations import Allocations, parse_allocations
from edgekit.targets.tflm.toolchain import TOOLCHAIN
from edgekit.targets.toolchains.work import Advance, Job, run_job

WORKER = Path(__file__).with_name("worker.py")
START_S = 120.0
#: Of one photo; its kernels are plain loops. Lite0 at 224 px takes 1.3 s, of 2 busy cores.
PHOTO_S = 120.0


def answer(path: Path, pixels: Pixels, advance: Advance) -> Answers:
    """Runs a file on photos, uint8 [n, height, width, 3]; in the form of `Answers`.

    Raises:
        MissingToolError: the interpreter is not installed.
        CompileError: it does not take the file.
        EdgekitError: it failed.
    """
    model = tflite_file.read(path)
    runtime = LiteRT(path)
    inputs = np.concatenate([runtime.feed(photo) for photo in pixels])
    places = runtime.answer.places
    arguments = {"model": str(path.resolve()), "places": places}
    job = Job(WORKER, "run", arguments, {"inputs": inputs})
    limit = START_S + PHOTO_S * len(pixels)
    done = run_job(TOOLCHAIN, job, timeout_s=limit, advance=advance)
    memory = parse_allocations(done.log).to_memory(model.size_bytes)
    outputs = [done.arrays[f"output{place}"] for place in places]
    return Answers(runtime.answer.read_all(outputs), ChipFigures(memory=memory))


def measure_memory(path: Path) -> Allocations:
    """The memory that a file takes.

    Raises:
        MissingToolError: the interpreter is not installed.
        CompileError: it does not take the file.
        EdgekitError: it failed.
    """
    inputs = len(tflite_file.read(path).inputs)
    job = Job(WORKER, "measure", {"model": str(path.resolve()), "inputs": inputs})
    done = run_job(TOOLCHAIN, job, timeout_s=START_S + PHOTO_S)
    return parse_allocations(done.log)
