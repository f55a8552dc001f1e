"""Runs Qualcomm's compiler on an .onnx file, and reads what it wrote."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgekit.data.images import Pixels
from edgekit.errors import EdgekitError
from edgekit.system.files import write_bytes
from edgekit.targets.base import Compiled
from edgekit.targets.executions import Answers, ChipFigures, as_answers
from edgekit.targets.npus.compiled import make_compiled
from edgekit.targets.npus.file import Feed
from edgekit.targets.npus.mapping import NPUMapping
from edgekit.targets.qnn.options import ENDING, CompilerOptions
from edgekit.targets.qnn.socs import Soc
from edgekit.targets.qnn.trace import read_chip, read_trace
from edgekit.targets.toolchains.toolchain import Toolchain
from edgekit.targets.toolchains.work import Advance, Done, Job, run_job

WORKER = Path(__file__).with_name("worker.py")
#: Seconds for a photo in the emulation, at the most: B7 at 600 px takes some 100 times Lite0's 1.4.
PHOTO_S = 150


def compile_file(
    toolchain: Toolchain, path: Path, out_dir: Path, options: CompilerOptions
) -> Compiled:
    """Compiles a file to ``out_dir/NAME_qnn_ctx.onnx`` and the context binary that it names.

    Raises:
        CompileError: the compiler does not take the model, or maps nothing of it.
        MissingToolError: the toolchain is not installed.
        EdgekitError: the compiler failed, or compiled for another chip.
        GateError: fewer operators are mapped than asked for; the files are kept.
    """
    name = f"{path.stem}{ENDING}"
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=f".{name}-") as scratch:
        done = _compile(toolchain, path, Path(scratch), name, options)
        made = [*sorted(Path(scratch).glob("*.bin")), Path(scratch) / f"{name}.onnx"]
        outputs = [out_dir / one.name for one in made]
        for one, output in zip(made, outputs, strict=True):  # the one that names the others last
            os.replace(one, output)
    binaries = outputs[:-1]
    log = out_dir / f"{name}.log"
    write_bytes(log, done.log.encode())
    mapping = _mapping(toolchain, done)
    compiled_for = read_chip(b"".join(one.read_bytes() for one in binaries))
    if compiled_for is not None and compiled_for.soc != options.soc.upper():
        raise EdgekitError(f"{toolchain.title} compiled for {compiled_for.soc}, not {options.soc}")
    context = sum(one.stat().st_size for one in binaries)
    figures = {
        "soc": options.soc.upper(),
        "htp_arch": options.chip.arch,
        "vtcm_bytes": compiled_for.vtcm_bytes if compiled_for else None,
        "context_bytes": context,
        "seconds": round(done.values["seconds"], 2),
    }
    chip = ChipFigures(
        memory={"context binary": context}, mapped=mapping.mapped, on_cpu=len(mapping.on_cpu)
    )
    made_of = make_compiled(path, [outputs[-1], *binaries], log, mapping, figures, chip)
    mapping.demand(options.min_mapped)
    return made_of


def ask_compiler(toolchain: Toolchain, path: Path, options: CompilerOptions) -> NPUMapping:
    """Returns where each operator of a file runs; what is compiled for that is not kept.

    Raises:
        CompileError: the compiler does not take the model.
        MissingToolError: the toolchain is not installed.
        EdgekitError: the compiler failed.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
        done = _compile(toolchain, path, Path(scratch), "model", options)
    return _mapping(toolchain, done)


def emulate(
    toolchain: Toolchain,
    path: Path,
    pixels: Pixels,
    soc: Soc,
    timeout_s: float,
    advance: Advance | None = None,
) -> Answers:
    """Runs a file on photos in Qualcomm's emulation of the chip.

    Args:
        toolchain: with the compiler and the emulation.
        path: of the .onnx file.
        pixels: uint8 [n, height, width, 3].
        soc: the chip.
        timeout_s: seconds for the compiler; photos have their own.
        advance: called with the photos done, and with how many there are.

    Raises:
        CompileError: the compiler does not take the model.
        UsageError: the file does not say how photos are normalised.
        MissingToolError: the toolchain is not installed.
        EdgekitError: the emulation failed.
    """
    job = Job(WORKER, "run", _arguments(path, soc), Feed.of(path).arrays(pixels))
    limit = timeout_s + PHOTO_S * len(pixels)
    done = run_job(toolchain, job, timeout_s=limit, advance=advance)
    mapping = _mapping(toolchain, done)
    figures = ChipFigures(mapped=mapping.mapped, on_cpu=len(mapping.on_cpu))
    return Answers(as_answers(done.arrays["outputs"], channels_first=True), figures)


def _compile(
    toolchain: Toolchain, path: Path, folder: Path, name: str, options: CompilerOptions
) -> Done:
    arguments = {**_arguments(path, options.chip), "folder": str(folder.resolve()), "name": name}
    return run_job(toolchain, Job(WORKER, "compile", arguments), timeout_s=options.timeout_s)


def _arguments(path: Path, soc: Soc) -> dict[str, str | int]:
    return {"model": str(path.resolve()), "soc_model": soc.model, "htp_arch": soc.arch}


def _mapping(toolchain: Toolchain, done: Done) -> NPUMapping:
    return read_trace(done.values["trace"], f"{toolchain.title} {toolchain.version}")
