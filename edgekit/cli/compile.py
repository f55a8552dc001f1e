"""``edgekit compile FILE...``: runs a target's compiler, here or on another host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.from_options import add_compiler_options
from edgekit.cli.options import Json, TargetName
from edgekit.errors import CompileError, UsageError
from edgekit.targets import registry

if TYPE_CHECKING:
    from edgekit.system.console import Console
    from edgekit.targets.base import Compiled, Target
    from edgekit.targets.bisect import Bisection
    from edgekit.targets.devices.hosts import Host


@add_compiler_options
def command(
    files: Annotated[
        list[Path], typer.Argument(help="Quantized .tflite files; several share the cache.")
    ],
    target: TargetName = registry.DEFAULT,
    out: Annotated[
        Path | None, typer.Option(help="Where results go; else beside the first file.")
    ] = None,
    compile_host: Annotated[
        str | None,
        typer.Option(help="Compile there, in a folder made for it.", metavar="ssh://HOST"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compile even what our check says will be refused.")
    ] = False,
    bisect: Annotated[
        bool,
        typer.Option(
            "--bisect", help="Find the operator at which the compiler begins to fail on the file."
        ),
    ] = False,
    json: Json = False,
    given: dict[str, Any] | None = None,
) -> int:
    """Compile quantized files for a target, and verify what its compiler made.

    Ends with 6 where the compiler rejects a file, with --bisect too, and with 0 where it does not.
    """
    from edgekit.system.console import CONTROLS, Console
    from edgekit.targets.devices.open import open_host

    found = registry.find(target)
    if not found.compiles:
        raise UsageError(
            f"edgekit compile is not for the target {target}",
            cause="its files need no compiler, or `edgekit build` runs it",
            hint=f"edgekit build --target {target}",
        )
    options = registry.find(target, given).options
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
            _compare(made, console)
            document = {"files": [file.to_dict() for file in made]}
            lines = iter(_lines(made))
    if json:
        from json import dumps

        document = {"schema_version": 1, "target": target} | document
        print(dumps(document, indent=2, ensure_ascii=False))
    else:  # names may come from the file, and a terminal would obey control characters in them
        print("\n".join(lines).translate(CONTROLS))
    return CompileError.exit_code if bisect and outcome.fails else 0


def _compare(made: Sequence[Compiled], console: Console) -> None:
    """Says where the compiler did otherwise than `edgekit check` predicts."""
    for file in made:
        if file.predicted not in (None, file.mapped):
            console.warn(
                f"{file.source.name}: the compiler mapped {file.mapped} operators, and our check "
                f"predicted {file.predicted}; please report it, with {file.log}"
            )


def _lines(made: Sequence[Compiled]) -> list[str]:
    tables = [line for file in made for line in (*file.lines, "")]
    return [*tables, *(file.summary for file in made)]


def _bisect(
    target: Target,
    file: Path,
    out: Path,
    options: Any,
    host: Host,
    console: Console,
) -> Bisection:
    import tempfile

    from edgekit.targets.base import NothingMappedError
    from edgekit.targets.bisect import bisect

    def fails(path: Path) -> bool:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
            try:
                target.compile_files([path], Path(scratch), options, host, force=True)
            except NothingMappedError:
                return False  # a part may hold nothing for the target; that is no failure
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
