"""Runs `edgetpu_compiler` in bounded time, reads what it prints, and verifies what it made.

The compiler's exit code is not enough: it is 0 when most operators stay on the CPU, and older
versions die without a word. So every output must exist, load, hold an `edgetpu-custom-op` and
have mapped operators; anything else is a :class:`CompileError` that names the cause.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.container import copy_files
from edgekit.errors import CompileError, EdgekitError, MissingToolError, UsageError
from edgekit.system import files as atomic
from edgekit.system.paths import StrPath
from edgekit.system.text import size
from edgekit.targets.base import Compiled, NothingMappedError
from edgekit.targets.devices.hosts import Host, LocalHost, Ran
from edgekit.targets.edgetpu.failures import is_silent, known_failure
from edgekit.targets.edgetpu.log import (
    CompilerOutput,
    parse_output,
    parse_outputs,
)
from edgekit.targets.edgetpu.options import CUSTOM_OP, ENDING, CompilerOptions
from edgekit.targets.edgetpu.text import decode

GRACE_S = 30  # what the compiler gets to stop by itself before it is killed


def _compiled(
    source: Path, outputs: tuple[Path, ...], log: Path, figures: Sequence[CompilerOutput]
) -> Compiled:
    """The record of a compiled file, from one block of figures or several."""
    mapped, on_cpu = (sum(getattr(f, key) or 0 for f in figures) for key in ("mapped", "on_cpu"))
    cached, streamed = (
        _size([getattr(output, key) for output in figures])
        for key in ("on_chip_bytes", "off_chip_bytes")
    )
    rows = [row for output in figures for row in output.rows]
    lines = (
        str(source),
        f"  {'operator':28} {'count':>6}  status",
        *(f"  {row.name:28} {row.count:>6}  {row.status}" for row in rows),
        *(f"  {_memory(output)}" for output in figures),
        *(f"  {path}" for path in outputs),
    )
    summary = (
        f"{source.name}: {mapped} mapped, {on_cpu} on CPU, {cached} cached, {streamed} streamed"
    )
    records = tuple(output.to_dict() for output in figures)
    return Compiled(source, outputs, log, mapped, on_cpu, records, lines, summary)


def _memory(output: CompilerOutput) -> str:
    """The compiler's figures of memory in one line."""
    return (
        f"model {_size([output.input_bytes])}, compiled {_size([output.output_bytes])}; "
        f"cache: {_size([output.on_chip_bytes])} used, {_size([output.on_chip_free_bytes])} free; "
        f"{_size([output.off_chip_bytes])} streamed"
    )


def _size(counts: Sequence[int | None]) -> str:
    known = [count for count in counts if count is not None]
    return size(sum(known) if known else None)


def compile_files(
    files: Sequence[StrPath],
    out_dir: StrPath,
    options: CompilerOptions,
    host: Host | None = None,
    grace_s: float = GRACE_S,
) -> list[Compiled]:
    """Compiles models to ``out_dir/NAME_edgetpu.tflite``; what is printed goes to the .log there.

    Several are compiled together, so that they share the Edge TPU's cache, unless the options
    concern a single model.

    Args:
        files: .tflite files that suit the Edge TPU, of different names.
        out_dir: is made when it does not exist; an earlier output is replaced on success only.
        options: what the compiler is asked for.
        host: where it runs; on this machine by default.
        grace_s: seconds beyond its own time limit before it is killed with all its children.

    Raises:
        UsageError: two files would have the same output.
        MissingToolError: the compiler is not there.
        CompileError: it failed, took too long, or made nothing that runs on an Edge TPU.
        DeviceError: the connection to the host died.
        EdgekitError: ``out_dir`` cannot be written.
    """
    models = [Path(path) for path in files]
    out_dir = Path(out_dir)
    _demand_different(models, options)
    host = host or LocalHost()
    program = host.which(options.compiler)
    if program is None:
        raise _missing(models, out_dir, options, host)
    options = replace(options, compiler=program)
    groups = [[file] for file in models] if options.one_by_one else [models]
    try:
        return [
            made
            for group in groups
            for made in _compile(group, out_dir, options, host, options.timeout_s + grace_s)
        ]
    except OSError as error:
        raise EdgekitError(f"cannot compile into {out_dir}", cause=str(error)) from error


def _compile(
    files: list[Path], out_dir: Path, options: CompilerOptions, host: Host, limit_s: float
) -> list[Compiled]:
    with tempfile.TemporaryDirectory(prefix="edgekit-") as stage:
        ran = _run(files, Path(stage), options, host, limit_s)
        out_dir.mkdir(parents=True, exist_ok=True)
        logs = [out_dir / _log_name(f"{file.stem}{ENDING}.tflite") for file in files]
        for log in logs:
            atomic.write_bytes(log, ran.text.encode())
        if ran.code != 0:
            raise _rejected(files, logs[0], *_why(ran, limit_s))
        figures = _figures(files, Path(stage), options, ran.text)
        made = [
            [_verified(file, log, Path(stage) / name, of, ran) for name in options.outputs(stem)]
            for file, log, of in zip(files, logs, figures, strict=True)
            for stem in [file.stem]
        ]
    # Nothing is replaced before everything is verified.
    compiled = []
    for file, log, of, contents in zip(files, logs, figures, made, strict=True):
        outputs = tuple(out_dir / name for name in options.outputs(file.stem))
        for path, content in zip(outputs, contents, strict=True):
            atomic.write_bytes(path, content)
        compiled.append(_compiled(file, outputs, log, of))
    return compiled


def _run(
    files: list[Path], stage: Path, options: CompilerOptions, host: Host, limit_s: float
) -> Ran:
    """Runs the compiler in a fresh folder of the host, and fetches what it made into ``stage``."""
    with host.folder() as folder:
        for file in files:
            host.put(file, f"{folder}/{file.name}")
        models = [f"{folder}/{file.name}" for file in files]
        ran = host.run(options.command(models, folder), folder, limit_s)
        for name in [name for file in files for name in options.outputs(file.stem)]:
            if ran.code == 0 and host.get(f"{folder}/{name}", stage / name):
                host.get(f"{folder}/{_log_name(name)}", stage / _log_name(name))
    return ran


def _log_name(output: str) -> str:
    """Where the compiler writes the table of an output's operators."""
    return output.removesuffix(".tflite") + ".log"


def _figures(
    files: list[Path], stage: Path, options: CompilerOptions, text: str
) -> list[tuple[CompilerOutput, ...]]:
    """The figures of each file: by the names in the blocks, else by their order."""
    blocks = parse_outputs(text) or [CompilerOutput()]
    figures = []
    for place, file in enumerate(files):
        found = [b for b in blocks if b.input_model == file.name] if len(files) > 1 else blocks
        found = found or blocks[place : place + 1]
        if not any(block.rows for block in found):  # the table is in the compiler's own log too
            logs = [stage / _log_name(name) for name in options.outputs(file.stem)]
            tables = [parse_output(decode(log.read_bytes())) for log in logs if log.exists()]
            rows = tuple(row for table in tables for row in table.rows)
            found = [replace(found[0], rows=rows), *found[1:]]
        figures.append(tuple(found))
    return figures


def _verified(
    model: Path, log: Path, made: Path, figures: tuple[CompilerOutput, ...], ran: Ran
) -> bytes:
    """Returns the contents of an output that runs on an Edge TPU, with the model's labels.

    Raises:
        CompileError: it is no such file.
    """
    if not made.is_file():
        cause, hint = _why(ran, 0)
        raise _rejected([model], log, f"{made.name} is missing: {cause}", hint)
    contents = made.read_bytes()
    try:
        codes = tflite_file.parse(contents, name=made.name).custom_codes
    except UsageError as error:
        raise _rejected([model], log, f"its output is damaged: {error.cause}", None) from error
    if CUSTOM_OP not in codes or not sum(output.mapped or 0 for output in figures):
        rows = [row for output in figures for row in output.rows if not row.is_mapped]
        blocking = "; ".join(f"{row.name}: {row.status}" for row in rows)
        cause = "no operator was mapped to the Edge TPU"
        found = _rejected([model], log, f"{cause} ({blocking})" if blocking else cause, None)
        raise NothingMappedError(found.message, cause=found.cause, hint=found.hint)
    # The compiler writes the model anew; labels that lay behind it are put back.
    return copy_files(model.read_bytes(), contents)


_MORE_TIME = (
    "`edgekit compile --timeout` or `edgekit build --compile-timeout` allows it more seconds"
)


def _why(ran: Ran, limit_s: float) -> tuple[str, str | None]:
    """Returns why the compiler failed, and what to do if that is known."""
    if ran.code is None:
        return f"it was stopped after {limit_s:g} s", _MORE_TIME
    known = known_failure(ran.text)
    if known:
        return known.cause, known.fix
    ending = _ending(ran.code)
    if is_silent(ran.text):
        hint = "find the operator with `edgekit compile --bisect`; older compilers die like that"
        return f"{ending}, and without a word", f"{hint} when they make segments"
    return f"{ending}; it printed:\n{ran.text.strip()}", None


def _ending(code: int) -> str:
    if code == 0:
        return "the compiler ended without an error and without output"
    number = -code if code < 0 else code - 128  # its wrapper script adds 128 to a signal
    with contextlib.suppress(ValueError):
        return f"the compiler was killed by {signal.Signals(number).name}"
    return f"the compiler ended with exit code {code}"


def _rejected(files: Sequence[Path], log: Path, cause: str, hint: str | None) -> CompileError:
    return CompileError(
        f"the Edge TPU compiler did not compile {_names(files)}",
        cause=cause,
        hint=f"{hint}; see {log}" if hint else f"see {log}",
    )


def _missing(
    files: Sequence[Path], out_dir: Path, options: CompilerOptions, host: Host
) -> MissingToolError:
    is_local = isinstance(host, LocalHost)
    line = shlex.join(options.command([str(file) for file in files], str(out_dir)))
    where = "" if is_local else f" on {host.name}"
    ready = "is ready" if len(files) == 1 else "are ready"
    return MissingToolError(
        f"the Edge TPU compiler is not installed{where}; {_names(files)} {ready} to compile",
        cause=f"{options.compiler} is not to be found on {'PATH' if is_local else host.name} "
        "(Google builds it for x86-64 Linux alone)",
        hint=line
        if is_local
        else "install it there, or name its path: `edgekit compile --compiler PROGRAM`",
    )


def _demand_different(files: Sequence[Path], options: CompilerOptions) -> None:
    """Raises UsageError where an output would overwrite another, or a model."""
    seen: set[str] = set()
    for name in [file.name for file in files] + [
        name for file in files for name in options.outputs(file.stem)
    ]:
        if name in seen:
            raise UsageError(
                f"{_names(files)} cannot be compiled together",
                cause=f"there would be two files of the name {name}",
                hint="compile them one by one, each into a folder of its own",
            )
        seen.add(name)


def _names(files: Sequence[Path]) -> str:
    return ", ".join(str(file) for file in files)
