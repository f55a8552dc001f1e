"""``edgekit build``: its options are the fields of `BuildOptions`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from edgekit.console import Console, safe
from edgekit.errors import INTERRUPTED
from edgekit.options import BuildOptions, option_name

JSON = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result.")]


def command_from_options(
    *, without: Collection[str] = ()
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives a function one parameter per field of `BuildOptions`, before its own.

    Args:
        without: fields that the command leaves at their defaults.
    """

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        def call(**values: Any) -> int:
            own = {
                name: values.pop(name)
                for name in inspect.signature(function).parameters
                if name in values
            }
            values |= {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
            return function(options=BuildOptions(**values), **own)

        hints = get_type_hints(BuildOptions)
        fields = [item for item in dataclasses.fields(BuildOptions) if item.name not in without]
        parameters = [_parameter(item, hints[item.name]) for item in fields]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for name, kind in (("json_output", JSON), ("quiet", QUIET))
        ]
        call.__doc__ = function.__doc__
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def _parameter(item: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    meta = item.metadata
    kind = inspect.Parameter.KEYWORD_ONLY
    if meta.get("argument"):
        argument = typer.Argument(help=meta["help"], show_default=False)
        return inspect.Parameter(item.name, kind, annotation=Annotated[hint, argument])
    name = option_name(item.name)
    flags = [f"--{name}/--no-{name}"] if hint in (bool, bool | None) else [f"--{name}"]
    default: Any = item.default  # every option has one
    if hint == tuple[str, ...]:
        hint, default = list[str], list(default)
    option = typer.Option(
        *flags, help=meta["help"], metavar=meta["metavar"], show_default=item.default is not None
    )
    return inspect.Parameter(item.name, kind, default=default, annotation=Annotated[hint, option])


@command_from_options()
def command(options: BuildOptions, json_output: bool = False, quiet: bool = False) -> int:
    """Build a verified model for one or more targets, and report what each step cost."""
    from edgekit.pipeline.build import run_build

    console = Console(quiet=quiet)
    try:
        run = run_build(options, console)
    except KeyboardInterrupt:
        console.note("interrupted: finished work is kept; the same command goes on from there")
        return INTERRUPTED
    if run.document is None:
        print("\n".join(run.planned))
        return 0
    if json_output:
        print(json.dumps(run.document, indent=2, ensure_ascii=False))
    else:
        console.table(run.rows)
        if devices := run.document["devices"]:
            from edgekit.cli.bench_devices import table

            print(safe("\n".join(["", *table(devices)]), sys.stdout))
        for line in summary(run.folder, run.document):
            console.note(line)
    if run.problem is not None:
        console.error(run.problem)
        return run.problem.exit_code
    console.footer(next_commands(run.files))
    return 0


def summary(folder: Path, document: Any) -> list[str]:
    """The verdict, what the report warns of, and where everything lies."""
    from edgekit.report.diagnosis import verdict

    lines = [verdict(document["rows"])]
    lines += [f"warning: {line}" for text in document["warnings"] for line in text.splitlines()]
    lines += [f"{t['name']}: {t['status']}, {t['message']}" for t in document["targets"]]
    return [*lines, f"report: {folder / 'report.html'}"]


def next_commands(files: dict[str, Path]) -> list[str]:
    """Commands to try after a build."""
    quantized = next(files[name] for name in ("w8a8-static", "w8a8-mixed") if name in files)
    return [f"edgekit inspect {quantized}"]
