"""Runs Rockchip's compiler and simulator on an .onnx file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from edgekit.data.images import Pixels
from edgekit.system.files import write_bytes
from edgekit.targets.base import Compiled
from edgekit.targets.executions import Answers, ChipFigures, as_answers
from edgekit.targets.npus.compiled import make_compiled
from edgekit.targets.npus.file import Feed
from edgekit.targets.rknn.log import CompilerLog, read_log
from edgekit.targets.rknn.options import CompilerOptions
from edgekit.targets.toolchains.toolchain import Toolchain
from edgekit.targets.toolchains.work import Advance, Done, Job, run_job

WORKER = Path(__file__).with_name("worker.py")
#: Seconds for a photo in the simulator, at the most: Lite0 at 224 px takes 0.04.
PHOTO_S = 10
_BYTES = "the bytes of an RGB photo, NHWC; they are normalised inside"
_REALS = "what the .onnx file takes"


def compile_file(
    toolchain: Toolchain, path: Path, out_dir: Path, options: CompilerOptions
) -> Compiled:
    """Compiles a file to ``out_dir/NAME_PLATFORM.rknn``, which takes the bytes of a photo.

    One whose record is unknown takes what the .onnx file takes.

    Raises:
        CompileError: the compiler does not take the model, or maps nothing of it.
        MissingToolError: the toolchain is not installed.
        EdgekitError: the compiler failed.
        GateError: fewer operators are mapped than asked for; the file is kept.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    output = out_dir / f"{path.stem}_{options.chip}.rknn"
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=f".{output.stem}-") as scratch:
        made = Path(scratch) / output.name
        done = _compile(toolchain, path, made, options)
        os.replace(made, output)
    log = output.with_suffix(".log")
    write_bytes(log, done.log.encode())
    said = _read(toolchain, done)
    messages = [str(message) for message in said.messages]
    takes = _REALS if Feed.find(path) is None else _BYTES
    figures = {
        "platform": options.chip,
        "input": takes,
        "memory_bytes": said.memory,
        "messages": messages,
        "seconds": round(done.values["seconds"], 2),
    }
    size = output.stat().st_size
    chip = ChipFigures(
        memory={**said.memory, "file": size},
        mapped=said.mapping.mapped,
        on_cpu=len(said.mapping.on_cpu),
    )
    lines = [f"input: {takes}", *messages]
    compiled = make_compiled(path, [output], log, said.mapping, figures, chip, lines)
    said.mapping.demand(options.min_mapped)
    return compiled


def ask_compiler(toolchain: Toolchain, path: Path, options: CompilerOptions) -> CompilerLog:
    """Returns what the compiler says of a file; what is compiled for that is not kept.

    Raises:
        CompileError: the compiler does not take the model.
        MissingToolError: the toolchain is not installed.
        EdgekitError: the compiler failed.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
        done = _compile(toolchain, path, Path(scratch) / "model.rknn", options)
    return _read(toolchain, done)


def simulate(
    toolchain: Toolchain,
    path: Path,
    pixels: Pixels,
    options: CompilerOptions,
    advance: Advance | None = None,
) -> Answers:
    """Runs a file on photos in Rockchip's simulator.

    Args:
        toolchain: with the compiler and the simulator.
        path: of the .onnx file.
        pixels: uint8 [n, height, width, 3].
        options: of the compiler; photos have seconds of their own.
        advance: called with the photos done, and with how many there are.

    Raises:
        CompileError: the compiler does not take the model.
        UsageError: the file does not say how photos are normalised.
        MissingToolError: the toolchain is not installed.
        EdgekitError: the simulator failed.
    """
    arguments = _arguments(path, options, Feed.of(path))
    job = Job(WORKER, "run", arguments, {"pixels": pixels})
    limit = options.timeout_s + PHOTO_S * len(pixels)
    done = run_job(toolchain, job, timeout_s=limit, advance=advance)
    return Answers(as_answers(done.arrays["outputs"], channels_first=True))


def _compile(toolchain: Toolchain, path: Path, made: Path, options: CompilerOptions) -> Done:
    arguments = {**_arguments(path, options, Feed.find(path)), "out": str(made.resolve())}
    return run_job(toolchain, Job(WORKER, "compile", arguments), timeout_s=options.timeout_s)


def _arguments(path: Path, options: CompilerOptions, feed: Feed | None) -> dict[str, Any]:
    return {
        "model": str(path.resolve()),
        "platform": options.chip,
        "optimization_level": options.optimization_level,
        "mean": list(feed.mean) if feed else None,
        "std": list(feed.std) if feed else None,
    }


def _read(toolchain: Toolchain, done: Done) -> CompilerLog:
    return read_log(done.log, f"{toolchain.title} {toolchain.version}")
