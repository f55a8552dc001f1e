"""Runs a .tflite file on photos in a process of its own, with or without a delegate.

A delegate is native code that talks to a device: it may crash or hang, and then takes nothing but
that process with it. No accelerator could be tried here: what is tested is that its library is
loaded, given its options and asked to take part, with a stand-in for it.
"""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.classifier import photo_problem, refuse
from edgekit.converters.file_task import FileTask, refuse_unknown, tflite_task
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.converters.tflite.metadata import Metadata, read_metadata
from edgekit.data.images import Pixels
from edgekit.data.normalization import Normalization
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import DeviceError, EdgekitError, MissingToolError, UsageError, did_you_mean
from edgekit.runtimes.litert import feed_table
from edgekit.system import processes as child
from edgekit.system.paths import StrPath
from edgekit.targets import registry
from edgekit.targets.delegates import DelegateLibrary
from edgekit.targets.measure.raw import answer_outputs, dequantize, raw_outputs

CHILD = Path(__file__).with_name("agent.py")
BUILT_IN = ("none", "xnnpack", "gpu")
TIMEOUT_S = 60.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Delegate:
    """What a model's operators are handed to.

    Attributes:
        name: "none" for the runtime's own kernels, "xnnpack", "gpu", which only `benchmark_model`
            has (no Python package of a runtime brings it), or a target that has a delegate.
        library: path or name of the target's library; None for the platform's usual name.
        device: which accelerator, as the library's option takes it; "" for any.

    Raises:
        UsageError: there is no such delegate or device, or it has no library.
    """

    name: str = "xnnpack"
    library: str | None = None
    device: str = ""

    def __post_init__(self) -> None:
        if self.external is not None:
            self.external.check_device(self.device)
            return
        if self.name in BUILT_IN and not (self.library or self.device):
            return
        others = {target.name: target.delegate for target in registry.usable() if target.delegate}
        if self.name not in BUILT_IN:
            hint = did_you_mean(self.name, [*BUILT_IN, *others])
            raise UsageError(f"there is no delegate '{self.name}'", hint=hint)
        raise UsageError(
            f"a library and a device are for {', '.join(d.title for d in others.values())} alone",
            hint=f"name the delegate {' or '.join(others)}",
        )

    @property
    def external(self) -> DelegateLibrary | None:
        """The target's library; None for what runtimes bring."""
        is_known = self.name not in BUILT_IN and self.name in registry.names()
        return registry.find(self.name).delegate if is_known else None

    @property
    def path(self) -> str | None:
        """The shared library to load, if any."""
        found = self.external
        return (self.library or found.library) if found else None

    @property
    def options(self) -> dict[str, str]:
        """What the shared library is told."""
        return {"device": self.device} if self.device else {}

    @property
    def path_there(self) -> str | None:
        """The shared library on a device that runs Linux, if any."""
        found = self.external
        return (self.library or found.linux) if found else None


@dataclass(frozen=True)
class Effort:
    """What a child process may take.

    Attributes:
        threads: of the kernels on the CPU.
        repeat: how many runs are measured.
        timeout_s: how many seconds each step (load, run) may take.

    Raises:
        UsageError: one of them is not above 0.
    """

    threads: int = 1
    repeat: int = 10
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        if min(self.threads, self.repeat) < 1 or not self.timeout_s > 0:
            raise UsageError("threads, repeat and timeout must be above 0")


@dataclass(frozen=True)
class Answer:
    """What came of a run.

    Attributes:
        scores: the answer, dequantized by (q - zero_point) * scale: float32 [n, classes], or
            of a segmenter [n, height, width, classes], or its classes, integers [n, height, width],
            or of several outputs that are rows all columns, [n, rows, columns].
        latency: milliseconds ``delegate`` (open the device), ``load`` (the file, and plan its
            memory), ``first`` run, and ``median``, ``p5`` and ``p95`` of the ``n`` repeated runs;
            a run is the invocation, without copying input and output.
        runtime: name and version of the TFLite runtime.
    """

    scores: npt.NDArray[Any]
    latency: dict[str, float | int]
    runtime: str


def read_image_model(path: StrPath) -> TFLiteModel:
    """Reads a model that takes a photo: one input [1, height, width, 3]; and that has an output.

    Raises:
        UsageError: the file cannot be read, or is no such model.
    """
    model = tflite_file.read(path)
    refuse(path, photo_problem(model))
    return model


def read_answering(path: StrPath) -> tuple[TFLiteModel, Metadata, FileTask]:
    """Reads a model, what it says of itself, and what it is for.

    Raises:
        UsageError: the file cannot be read, does not take square photos, or its answers mean
            nothing that is known.
    """
    model, metadata = read_image_model(path), read_metadata(path)
    task = tflite_task(model, metadata)
    refuse_unknown(path, task)
    _refuse_oblong(path, model)
    return model, metadata, task


def _refuse_oblong(path: StrPath, model: TFLiteModel) -> None:
    height, width = model.tensors[model.inputs[0]].shape[1:3]
    if height != width:
        sides = f"its input is {height} x {width} pixels"
        raise UsageError(f"{path} does not take square photos", cause=sides)


def run(
    path: StrPath,
    batch: Pixels,
    *,
    delegate: Delegate | None = None,
    preprocessing: Preprocessing | Normalization | None = None,
    effort: Effort | None = None,
    progress: Progress | None = None,
    compiled_only: bool = True,
) -> Answer:
    """Answers for photos in a process of its own: one run each, then more on the first.

    Args:
        path: the model: one input [1, height, width, 3]; its first output is the answer, or all
            of them are where they are rows.
        batch: uint8 [n, height, width, 3], RGB.
        delegate: XNNPACK unless given.
        preprocessing: how float values are normalised; by default as the file says.
        effort: threads, runs and seconds; see `Effort`.
        progress: is called with the runs done and in all.
        compiled_only: whether an accelerator takes only what its compiler made.

    Raises:
        UsageError: the arguments or the file cannot be used, or file and delegate do not match.
        MissingToolError: there is no TFLite runtime, no library, or one too old for the file.
        DeviceError: no accelerator could be opened, or it does not answer.
        EdgekitError: the runtime failed, crashed or hung.
    """
    delegate, effort = delegate or Delegate(), effort or Effort()
    check_python_has(delegate)
    model = read_image_model(path)
    _check_pixels(path, model, batch)
    _check_match(path, model, delegate, compiled_only)
    table = feed_table(model.tensors[model.inputs[0]], path, preprocessing)
    request = {
        "model": str(Path(path).resolve()),
        "shape": batch.shape,
        "outputs": len(answer_outputs(model)),
        "table": None if table is None else table.tolist(),
        "library": delegate.path,
        "options": delegate.options,
        "plain": delegate.name == "none",
        "threads": effort.threads,
        "repeat": effort.repeat,
    }
    data = json.dumps(request).encode() + b"\n" + batch.tobytes()
    total = len(batch) + effort.repeat

    def done(runs: int) -> None:
        if progress:
            progress(runs, total)

    answer = converse([sys.executable, str(CHILD)], data, delegate, effort.timeout_s, done)
    if "error" in answer:
        raise failure(path, delegate, answer["error"], answer["cause"].strip())
    done(total)
    return _read(answer, model, len(batch))


def converse(
    command: Sequence[str],
    request: bytes,
    delegate: Delegate,
    timeout_s: float,
    done: Callable[[int], None],
) -> dict[str, Any]:
    """Starts `agent`, gives it a request and returns its last answer.

    Args:
        command: a list, no shell.
        request: what it reads from stdin.
        delegate: which the runtime uses, for what is said of a hang.
        timeout_s: how many seconds may pass between two of its lines.
        done: is called with how many runs are done, as they go.

    Returns:
        ``{"result": ...}`` or ``{"error": kind, "cause": text}``, and with it ``outputs``, the
        bytes of the answer for each photo.

    Raises:
        DeviceError: it hung with an accelerator.
        EdgekitError: it hung, or ended without an answer.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write(request)  # a file: a child that dies or hangs before it reads blocks nobody
        stdin.seek(0)
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        )
        phase = "while it started"
        try:
            outputs = []
            for message in child.messages(process, timeout_s):
                if "output" in message:
                    outputs.append(base64.b64decode(message["output"]))
                    continue
                if "phase" not in message:
                    child.let_end(process)
                    return message | {"outputs": outputs}
                phase = message["phase"]
                done(message["done"])
            code = process.wait(timeout_s)
        except (queue.Empty, subprocess.TimeoutExpired):
            raise _hung(phase, delegate, timeout_s, child.last_line(stderr)) from None
        finally:
            child.stop(process)
        raise child.died(phase, code, child.last_line(stderr))


def _check_pixels(path: StrPath, model: TFLiteModel, batch: Pixels) -> None:
    shape = model.tensors[model.inputs[0]].shape[1:]
    if batch.dtype != np.uint8 or batch.shape[1:] != shape or not len(batch):
        raise UsageError(
            f"{path} takes uint8 pixels {list(shape)}",
            cause=f"it was given {batch.dtype} {list(batch.shape)}",
        )


def _check_match(
    path: StrPath, model: TFLiteModel, delegate: Delegate, compiled_only: bool
) -> None:
    """Raises UsageError where the file was made for another processor."""
    target = registry.compiled_for(model)
    if target and delegate.name != target.name:
        raise UsageError(
            f"{path} is compiled for {target.title}",
            hint=f"`edgekit run --delegate {target.name}`, or give the file before compilation",
        )
    if delegate.external and compiled_only and not target:
        raise UsageError(
            f"{path} is not compiled for {delegate.external.title}, which would run none of it",
            hint=f"edgekit compile {path}",
        )


def check_python_has(delegate: Delegate) -> None:
    """Raises UsageError for a delegate that no runtime of Python has."""
    if delegate.name == "gpu":
        raise UsageError(
            "the GPU delegate is not to be had from Python",
            cause="no package of a TFLite runtime brings it",
            hint="edgekit bench MODEL_FILE --device URL --benchmark-binary FILE",
        )


def _read(answer: dict[str, Any], model: TFLiteModel, photos: int) -> Answer:
    result = answer["result"]
    scores = dequantize(model, raw_outputs(model, answer["outputs"]))
    warm = result["runs"][photos:]
    p5, median, p95 = np.percentile(warm, [5, 50, 95])
    seconds = {
        "delegate": result["delegate"],
        "load": result["load"],
        "first": result["runs"][0],
        "median": median,
        "p5": p5,
        "p95": p95,
    }
    latency: dict[str, float | int] = {k: round(float(v) * 1e3, 4) for k, v in seconds.items()}
    return Answer(scores, latency | {"n": len(warm)}, result["runtime"])


def _hung(phase: str, delegate: Delegate, timeout_s: float, said: str | None) -> EdgekitError:
    message = f"the runtime hung {phase} and was stopped after {timeout_s:g} s"
    if delegate.external:
        first = f"{delegate.external.hung}; a slow one" if delegate.external.hung else "a slow one"
        hint = f"{first} needs a larger `edgekit run --timeout`"
        return DeviceError(message, cause=said, hint=hint)
    return EdgekitError(message, cause=said, hint="`edgekit run --timeout` gives it more seconds")


def failure(path: StrPath, delegate: Delegate, kind: str, cause: str) -> EdgekitError:
    """Puts an error of the agent into words."""
    if kind == "runtime":
        hint = "pip install ai-edge-litert"
        return MissingToolError("there is no TFLite runtime", cause=cause, hint=hint)
    known = delegate.external and delegate.external.failure(
        str(path), kind, cause, library=delegate.path, device=delegate.device
    )
    if known:
        return known
    doing = "load" if kind == "model" else "run"
    return EdgekitError(f"the TFLite runtime cannot {doing} {path}", cause=cause)
