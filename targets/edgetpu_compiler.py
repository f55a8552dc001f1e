"""Runs `edgetpu_compiler` in bounded time, reads what it prints, and verifies what it made.

The compiler's exit code is not enough: it is 0 when most operators stay on the CPU, and older
versions die without a word. So the output must exist, load, hold an `edgetpu-custom-op` and have
mapped operators; anything else is a :class:`CompileError` that names the cause.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from edgekit.converters import tflite_file
from edgekit.converters.tflite_container import copy_files
from edgekit.errors import CompileError, EdgekitError, MissingToolError, UsageError
from edgekit.targets.base import Compiled
from edgekit.targets.edgetpu_log import CompilerOutput, known_failure, parse_output

TOOL = "edgetpu_compiler"
CUSTOM_OP = "edgetpu-custom-op"
TIMEOUT_S = 180  # the compiler's own default
GRACE_S = 30  # what it gets to stop by itself before it is killed


def command(model: Path, out_dir: Path, timeout_s: int = TIMEOUT_S) -> list[str]:
    """Returns the command line that compiles ``model`` into ``out_dir``."""
    options = ["--out_dir", str(out_dir), "--show_operations", "--timeout_sec", str(timeout_s)]
    return [TOOL, *options, str(model)]


def compile_model(
    model: Path, out_dir: Path, timeout_s: int = TIMEOUT_S, grace_s: float = GRACE_S
) -> Compiled:
    """Compiles ``model`` to ``out_dir/NAME_edgetpu.tflite``; what it prints goes to the .log.

    Args:
        model: a .tflite file that suits the Edge TPU.
        out_dir: is made when it does not exist; an earlier output is replaced on success only.
        timeout_s: how long the compiler may take by its own clock.
        grace_s: how many seconds more before it is killed with all its children.

    Raises:
        MissingToolError: the compiler is not on PATH.
        CompileError: it failed, took too long, or made nothing that runs on an Edge TPU.
        EdgekitError: ``out_dir`` cannot be written.
    """
    tool = shutil.which(TOOL)
    if tool is None:
        raise MissingToolError(
            f"the Edge TPU compiler is not installed; {model} is ready to compile",
            cause=f"{TOOL} is not on PATH (Google builds it for x86-64 Linux alone)",
            hint=shlex.join(command(model, out_dir, timeout_s)),
        )
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".edgetpu-", dir=out_dir) as work:
            return _compile(tool, model.resolve(), out_dir, Path(work), timeout_s, grace_s)
    except OSError as error:
        raise EdgekitError(f"cannot compile into {out_dir}", cause=str(error)) from error


def _compile(
    tool: str, model: Path, out_dir: Path, work: Path, timeout_s: int, grace_s: float
) -> Compiled:
    log = out_dir / f"{model.stem}_edgetpu.log"
    with log.open("wb") as file:
        code = _run(
            [tool, *command(model, work, timeout_s)[1:]], file.fileno(), timeout_s + grace_s
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    if code is None:
        raise _rejected(model, log, f"it was stopped after {timeout_s + grace_s:g} s", None)
    if code != 0:
        cause, hint = known_failure(text) or (_exit(code, text), None)
        raise _rejected(model, log, cause, hint)
    output = parse_output(text)
    made = work / f"{model.stem}_edgetpu.tflite"
    _verify(model, log, made, output, text)
    # The compiler writes the model anew; labels that lay behind it are put back.
    made.write_bytes(copy_files(model.read_bytes(), made.read_bytes()))
    final = out_dir / made.name
    os.replace(made, final)
    return Compiled(final, log, output.mapped, output.on_cpu, output.to_dict())


def _run(arguments: list[str], output: int, timeout_s: float) -> int | None:
    """Runs a program in a session of its own; returns its exit code, None when it was killed."""
    process = subprocess.Popen(  # noqa: S603 - a list, no shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:  # too slow, or we were interrupted
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it compiles in a child process
            process.wait()


def _verify(model: Path, log: Path, made: Path, output: CompilerOutput, text: str) -> None:
    """Raises CompileError unless ``made`` is a model that runs on an Edge TPU."""
    if not made.is_file():
        cause, hint = known_failure(text) or ("it ended without an error and without output", None)
        raise _rejected(model, log, cause, hint)
    try:
        codes = tflite_file.read(made).custom_codes
    except UsageError as error:
        raise _rejected(model, log, f"its output is damaged: {error.cause}", None) from error
    if CUSTOM_OP not in codes or output.mapped == 0:
        blocking = "; ".join(f"{r.name}: {r.status}" for r in output.rows if not r.is_mapped)
        cause = "no operator was mapped to the Edge TPU"
        raise _rejected(model, log, f"{cause} ({blocking})" if blocking else cause, None)


def _exit(code: int, text: str) -> str:
    """Says how the compiler ended when it did not say why."""
    number = -code if code < 0 else code - 128  # its wrapper script adds 128 to a signal
    with contextlib.suppress(ValueError):
        return f"it was killed by {signal.Signals(number).name}"
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")
    return f"it ended with exit code {code}; its last words: {last.strip()}"


def _rejected(model: Path, log: Path, cause: str, hint: str | None) -> CompileError:
    return CompileError(
        f"the Edge TPU compiler did not compile {model}",
        cause=cause,
        hint=f"{hint}; see {log}" if hint else f"see {log}",
    )
