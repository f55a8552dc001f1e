"""Runs Sony's converter on a file, and writes what the Raspberry Pi needs."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import CompileError, EdgekitError, MissingToolError
from edgekit.system.files import write_bytes
from edgekit.targets.base import Compiled
from edgekit.targets.imx500.memory import Memory, parse_memory
from edgekit.targets.imx500.model import WORKER, read_record
from edgekit.targets.imx500.options import ConverterOptions
from edgekit.targets.imx500.toolchain import TOOLCHAIN
from edgekit.targets.toolchains.work import Job, run_job

PYTHONPATH = Path(__file__).parent / "pythonpath"
_ERROR = re.compile(r"^.*\bERROR\s*:\s*(?:CODE: )?(.*)$", re.MULTILINE)
_TOO_LARGE = "a smaller variant or resolution: the chip has 8 MB for weights and tensors"


@dataclass(frozen=True)
class Converted:
    """What the converter made of a file.

    Attributes:
        memory: that it needs on the chip.
        layers: how many the chip runs.
        packer: the file that the Raspberry Pi packs; None where only the memory was asked for.
        log: what was printed.
    """

    memory: Memory
    layers: int
    packer: bytes | None
    log: str


def convert(path: Path, options: ConverterOptions, *, only_memory: bool = False) -> Converted:
    """Converts a file that `write_quantized` has written.

    Args:
        path: of the file.
        options: what the converter is asked for.
        only_memory: ask only for the memory, which takes a fifth of the time.

    Raises:
        MissingToolError: the converter is not installed, or Java.
        CompileError: it does not take the file, or the network does not fit.
        EdgekitError: it failed, crashed or hung.
    """
    _demand_programs()
    arguments = {
        "model": str(path.resolve()),
        "pythonpath": str(PYTHONPATH.resolve()),
        "words": [*options.words(), *(["--memory-report"] if only_memory else [])],
    }
    job = Job(WORKER, "convert", arguments)
    done = run_job(TOOLCHAIN, job, timeout_s=options.timeout_s)
    packer = done.arrays["packer"].tobytes() if "packer" in done.arrays else None
    memory = parse_memory(done.values["report"]) if done.values["report"] else None
    if memory is not None and not memory.fits:
        raise CompileError(f"{path.name} needs {memory}", hint=_TOO_LARGE)
    if done.values["code"] or memory is None or (packer is None and not only_memory):
        said = _ERROR.findall(done.log)
        raise CompileError(
            f"{TOOLCHAIN.title} does not take {path.name}",
            cause=said[-1].strip() if said else f"it ended with {done.values['code']}",
        )
    return Converted(memory, done.values["layers"], packer, done.log)


def _demand_programs() -> None:
    for program in TOOLCHAIN.programs:
        if shutil.which(program.name) is None:
            raise MissingToolError(
                f"{TOOLCHAIN.title} needs {program.name}, which is not on PATH", hint=program.hint
            )


def compile_file(path: Path, out_dir: Path, options: ConverterOptions) -> Compiled:
    """Converts a file to ``NAME_packerOut.zip``, and writes its labels and its log.

    Raises:
        MissingToolError: the converter is not installed, or Java.
        CompileError: it does not take the file, or the network does not fit.
        EdgekitError: it failed, or ``out_dir`` cannot be written.
    """
    labels = read_record(path).labels
    made = convert(path, options)
    packer, names, log = (
        out_dir / f"{path.stem}{ending}" for ending in ("_packerOut.zip", "_labels.txt", "_imx.log")
    )
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        write_bytes(packer, made.packer or b"")
        write_bytes(names, "".join(f"{label}\n" for label in labels).encode())
        write_bytes(log, made.log.encode())
    except OSError as error:
        raise EdgekitError(f"cannot compile into {out_dir}", cause=str(error)) from error
    commands = commands_on_the_pi(packer.name)
    lines = (
        str(path),
        f"  {made.layers} layers on the chip, {made.memory}",
        *(f"  {output}" for output in (packer, names)),
        "  on the Raspberry Pi:",
        *(f"    {command}" for command in commands),
    )
    record = {
        "converter": TOOLCHAIN.version,
        "layers": made.layers,
        "memory": dict(made.memory.figures.memory),
        "available": made.memory.available,
        "fits": made.memory.fits,
        "commands": list(commands),
    }
    return Compiled(
        path,
        (packer, names),
        log,
        made.layers,
        0,
        (record,),
        lines,
        f"{path.name}: {made.memory}; on the Raspberry Pi: {'; '.join(commands)}",
        chip=made.memory.figures,
    )


def commands_on_the_pi(packer: str) -> tuple[str, ...]:
    """Returns what finishes a converted network there: it becomes network.rpk."""
    return (
        "sudo apt install imx500-all imx500-tools",
        f"imx500-package -i {packer} -o rpk",
    )
