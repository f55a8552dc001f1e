"""A network as an ExecuTorch program: written from its own scales, and run on this host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.converters.input_record import own_normalization
from edgekit.converters.torch import builder
from edgekit.converters.torch.plan import make_plan
from edgekit.data.images import Pixels
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.networks.graph import Graph
from edgekit.system.files import write_bytes
from edgekit.system.text import size
from edgekit.targets.executions import Answers, ChipFigures, as_answers
from edgekit.targets.executorch.toolchain import TOOLCHAIN
from edgekit.targets.toolchains.work import Advance, Job, run_job

WORKER = Path(__file__).with_name("worker.py")
#: V2-XL's export is the slowest: a hundredth of that for Lite0.
WRITE_S = 1800.0
START_S = 120.0
PHOTO_S = 60.0


def write_program(graph: Graph, preprocessing: Preprocessing, path: Path) -> str:
    """Writes a .pte file that takes normalised photos, float [1, 3, height, width].

    Args:
        graph: int8, or mixed.
        preprocessing: of the weights; the file keeps that of its own input, as text in JSON, in
            its method ``edgekit``.
        path: of the file.

    Returns:
        Its size, and how much of it XNNPACK runs.

    Raises:
        MissingToolError: ExecuTorch is not installed.
        EdgekitError: it failed.
    """
    plan = make_plan(graph, fake_quantize=True)
    record = own_normalization(graph, preprocessing).of_input("float32", "NCHW")
    height, width, channels = graph.shapes[graph.input]
    arguments = {
        "builder": str(Path(builder.__file__).resolve()),
        "plan": plan.steps,
        "shape": [1, channels, height, width],
        "record": json.dumps(record.to_dict()),
    }
    done = run_job(TOOLCHAIN, Job(WORKER, "write", arguments, plan.arrays), timeout_s=WRITE_S)
    contents = done.arrays["program"].tobytes()
    write_bytes(path, contents)
    return f"{size(len(contents))}, {_coverage(done.values)}"


def _coverage(found: dict[str, Any]) -> str:
    outside = found["outside"]
    if not outside and found["delegates"] == 1:
        return "all of it by XNNPACK, in one part"
    return f"{found['delegates']} parts by XNNPACK, {len(outside)} operators outside"


def read_preprocessing(path: Path) -> Preprocessing:
    """Returns how photos become the input of a file of ours.

    Raises:
        MissingToolError: ExecuTorch is not installed.
        CompileError: it does not take the file.
        UsageError: the file does not say it.
    """
    arguments = {"program": str(path.resolve())}
    done = run_job(TOOLCHAIN, Job(WORKER, "read", arguments), timeout_s=START_S)
    if done.values["record"] is None:
        raise UsageError(
            f"{path} does not say how a photo is normalised",
            cause="it has no record of edgekit's",
            hint="write it with `edgekit build`",
        )
    return Preprocessing.from_dict(json.loads(done.values["record"]))


def answer(path: Path, pixels: Pixels, advance: Advance) -> Answers:
    """Runs a file on photos, uint8 [n, height, width, 3], one by one, and times it.

    Raises:
        MissingToolError: ExecuTorch is not installed.
        CompileError: it does not take the file.
        EdgekitError: it failed.
    """
    normalize = read_preprocessing(path).normalize
    inputs = np.ascontiguousarray(normalize(pixels).transpose(0, 3, 1, 2), np.float32)
    job = Job(WORKER, "run", {"program": str(path.resolve())}, {"inputs": inputs})
    limit = START_S + PHOTO_S * len(pixels)
    done = run_job(TOOLCHAIN, job, timeout_s=limit, advance=advance)
    figures = ChipFigures(
        latency_ms=done.values["milliseconds"],
        latency_by="measured by ExecuTorch on this host",
        memory={"program": path.stat().st_size},
    )
    return Answers(as_answers(done.arrays["outputs"], channels_first=True), figures)
