"""``edgekit compile FILE...``: runs a target's compiler, here or on another host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.errors import CompileError, UsageError

if TYPE_CHECKING:
    from edgekit.system.console import Console
    from edgekit.targets.devices.hosts import Host
    from edgekit.targets.edgetpu.bisect import Bisection
    from edgekit.targets.edgetpu.compiler import CompiledFile
    from edgekit.targets.edgetpu.options import CompilerOptions
    from edgekit.targets.edgetpu.target import EdgeTPUTarget


def command(
    files: Annotated[
        list[Path], typer.Argument(help="Quantized .tflite files; several share the cache.")
    ],
    target: Annotated[str, typer.Option(help="Where it shall run.", metavar="NAME")] = "edgetpu",
    out: Annotated[
        Path | None, typer.Option(help="Where results go; else beside the first file.")
    ] = None,
    compiler: Annotated[
        str | None, typer.Option(help="The compiler's program; else edgetpu_compiler on PATH.")
    ] = None,
    compile_host: Annotated[
        str | None,
        typer.Option(help="Compile there, in a folder made for it.", metavar="ssh://HOST"),
    ] = None,
    min_runtime_version: Annotated[
        int | None, typer.Option(help="The oldest Edge TPU runtime that is to run it, 10 to 14.")
    ] = None,
    num_segments: Annotated[
        int | None, typer.Option(help="Split each file for as many Edge TPUs, 2 or more.")
    ] = None,
    search_delegate: Annotated[
        bool, typer.Option("--search-delegate", help="On failure, try with fewer operators.")
    ] = False,
    search_step: Annotated[
        int | None, typer.Option(help="With --search-delegate: how many fewer each time.")
    ] = None,
    intermediate_tensors: Annotated[
        str | None, typer.Option(help="Where the Edge TPU's part ends.", metavar="NAME,...")
    ] = None,
    multiple_subgraphs: Annotated[
        bool,
        typer.Option(
            "--multiple-subgraphs",
            help="Several parts on the Edge TPU: experimental in the compiler, often slower.",
        ),
    ] = False,
    timeout: Annotated[int, typer.Option(help="Seconds that the compiler may take.")] = 180,
    force: Annotated[
        bool, typer.Option("--force", help="Compile even what our check says will be refused.")
    ] = False,
    bisect: Annotated[
        bool,
        typer.Option(
            "--bisect", help="Find the operator at which the compiler begins to fail on the file."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Compile quantized files for a target, and verify what its compiler made.

    Ends with 6 where the compiler rejects a file, with --bisect too, and with 0 where it does not.
    """
    from edgekit.system.console import CONTROLS, Console
    from edgekit.targets.devices.open import open_host
    from edgekit.targets.edgetpu.options import TOOL, CompilerOptions

    found = _edgetpu(target)
    options = CompilerOptions(
        compiler=TOOL if compiler is None else compiler,
        min_runtime_version=min_runtime_version,
        num_segments=num_segments,
        search_delegate=search_delegate,
        search_step=search_step,
        intermediate_tensors=tuple(intermediate_tensors.split(",") if intermediate_tensors else ()),
        multiple_subgraphs=multiple_subgraphs,
        timeout_s=timeout,
    )
    if bisect and len(files) != 1:
        raise UsageError("--bisect takes one file", hint="edgekit compile --bisect FILE")
    folder = files[0].parent if out is None else out
    console = Console()
    with open_host(compile_host) as host:
        if bisect:
            outcome = _bisect(found, files[0], folder, options, host, console)
            document, lines = _bisect_document(files[0], outcome), _bisect_lines(files[0], outcome)
        else:
            with console.stage(1, 1, f"compile on {host.name}"):
                made = found.compile_files(files, folder, options, host, force)
            _compare(found, made, options, console)
            document, lines = {"files": [file.to_dict() for file in made]}, _lines(made)
    if json:
        from json import dumps

        document = {"schema_version": 1, "target": target} | document
        print(dumps(document, indent=2, ensure_ascii=False))
    else:  # names may come from the file, and a terminal would obey control characters in them
        print("\n".join(lines).translate(CONTROLS))
    return CompileError.exit_code if bisect and outcome.fails else 0


def _edgetpu(name: str) -> EdgeTPUTarget:
    from edgekit.targets import registry
    from edgekit.targets.edgetpu.target import EdgeTPUTarget

    found = registry.find(name)
    if not isinstance(found, EdgeTPUTarget):
        raise UsageError(
            f"edgekit compile is not for the target {name}",
            cause="its files need no compiler, or `edgekit build` runs it",
            hint=f"edgekit build --target {name}",
        )
    return found


def _compare(
    target: EdgeTPUTarget, made: list[CompiledFile], options: CompilerOptions, console: Console
) -> None:
    """Says where the compiler did otherwise than `edgekit check` predicts."""
    if options.changes_mapping:
        return
    for file in made:
        predicted = target.predict(file.source).on_tpu
        if file.mapped != predicted:
            console.warn(
                f"{file.source.name}: the compiler mapped {file.mapped} operators, and our check "
                f"predicted {predicted}; please report it, with {file.log}"
            )


def _lines(made: list[CompiledFile]) -> Iterator[str]:
    for file in made:
        yield from (f"{file.source}", f"  {'operator':28} {'count':>6}  status")
        for row in [row for output in file.figures for row in output.rows]:
            yield f"  {row.name:28} {row.count:>6}  {row.status}"
        for output in file.figures:
            yield f"  {_memory(output)}"
        yield from (f"  {path}" for path in file.outputs)
        yield ""
    for file in made:
        cached, streamed = (
            _size([getattr(output, name) for output in file.figures])
            for name in ("on_chip_bytes", "off_chip_bytes")
        )
        yield (
            f"{file.source.name}: {file.mapped} mapped, {file.on_cpu} on CPU, "
            f"{cached} cached, {streamed} streamed"
        )


def _memory(output: Any) -> str:
    """The compiler's figures of memory in one line."""
    return (
        f"model {_size([output.input_bytes])}, compiled {_size([output.output_bytes])}; "
        f"cache: {_size([output.on_chip_bytes])} used, {_size([output.on_chip_free_bytes])} free; "
        f"{_size([output.off_chip_bytes])} streamed"
    )


def _size(counts: list[int | None]) -> str:
    from edgekit.system.text import size

    known = [count for count in counts if count is not None]
    return size(sum(known) if known else None)


def _bisect(
    target: EdgeTPUTarget,
    file: Path,
    out: Path,
    options: CompilerOptions,
    host: Host,
    console: Console,
) -> Bisection:
    import tempfile

    from edgekit.targets.edgetpu.bisect import bisect
    from edgekit.targets.edgetpu.compiler import NothingMappedError

    def fails(path: Path) -> bool:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
            try:
                target.compile_files([path], Path(scratch), options, host, force=True)
            except NothingMappedError:
                return False  # a part may hold nothing for the Edge TPU; that is no failure
            except CompileError:
                return True
            return False

    with console.stage(1, 1, f"bisect on {host.name}"):
        return bisect(file, fails, out, console.note)


def _bisect_document(file: Path, outcome: Bisection) -> dict[str, Any]:
    from dataclasses import asdict

    document = {"input": str(file), **asdict(outcome)}
    if outcome.culprit is not None:
        document["culprit"]["file"] = str(outcome.culprit.file)
    return document


def _bisect_lines(file: Path, outcome: Bisection) -> Iterator[str]:
    culprit = outcome.culprit
    if not outcome.fails:
        yield f"{file}: the compiler does not fail on it ({outcome.operators} operators)"
    elif culprit is None:
        yield f"{file}: the compiler fails on it, and on no part that can be cut out"
    else:
        yield f"{file}: the failure begins at operator {culprit.index} {culprit.name}"
        yield from (f"  input   {text}" for text in culprit.inputs)
        yield from (f"  output  {text}" for text in culprit.outputs)
        alone = "fails too" if culprit.fails_alone else "passes; it takes what is before it"
        yield f"  alone, that operator {alone}"
        yield f"  the smallest failing file: {culprit.file}"
    if outcome.doubt is not None:
        yield f"  in doubt: {outcome.doubt}"
