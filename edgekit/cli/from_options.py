"""Commands whose options are the fields of a dataclass: `BuildOptions`, or a compiler's."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from edgekit.cli.grouped import HELP_ALL
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.options.build import BuildOptions
from edgekit.options.fields import option_name
from edgekit.targets import registry

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
            values.pop("help_all", None)  # it has ended the program
            values |= {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
            return function(options=BuildOptions(**values), **own)

        hints = get_type_hints(BuildOptions)
        fields = [item for item in dataclasses.fields(BuildOptions) if item.name not in without]
        parameters = [_parameter(item, hints[item.name]) for item in fields]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for name, kind in (("json_output", JSON), ("quiet", QUIET), ("help_all", HELP_ALL))
        ]
        return _with_parameters(call, function, parameters)

    return decorate


def add_compiler_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Gives a command the options of our targets' compilers, after ``target``.

    The function gets those that are given by the names of their fields, as ``given``; the others
    are the target's own defaults. What it has a parameter for itself is not added.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]
    names = {parameter.name for parameter in own}
    found: dict[str, list[tuple[str, dataclasses.Field[Any], Any]]] = {}
    for name in registry.COMPILERS:
        kind = registry.find(name).compiler_options
        hints = get_type_hints(kind) if kind is not None else {}
        for item in registry.option_fields(kind):
            if item.name in names:
                continue
            found.setdefault(item.name, []).append((name, item, hints[item.name]))

    def call(**values: Any) -> int | None:
        given = {}
        for name, declared in found.items():
            value, separator = values.pop(name), declared[0][1].metadata["separator"]
            if value is not None:
                several = separator and (tuple(value.split(separator)) if value else ())
                given[name] = several if separator else value
        return function(**values, given=given)

    place = [parameter.name for parameter in own].index("target") + 1
    added = [_compiler_parameter(declared) for declared in found.values()]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own[:place], *added, *own[place:])
    ]
    return _with_parameters(call, function, parameters)


def add_projects(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Gives a command an option for each target that writes sources, after ``android``.

    The function gets the folders that are given by the names of their targets, as ``projects``.
    """

    def call(**values: Any) -> int | None:
        given = {name: values.pop(name) for name in registry.PROJECTS}
        return function(**values, projects={k: v for k, v in given.items() if v is not None})

    own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]
    place = [parameter.name for parameter in own].index("android") + 1
    added = []
    for name in registry.PROJECTS:
        text = registry.find(name).about_project
        folder = typer.Option(f"--{name}", help=text, metavar="FOLDER", show_default=False)
        kind = Annotated[Path | None, folder]
        added.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        )
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own[:place], *added, *own[place:])
    ]
    return _with_parameters(call, function, parameters)


def completes(known: Collection[str]) -> Callable[[str], list[str]]:
    """What a shell's completion asks: those of the known values that begin as what was typed."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in known if value.startswith(incomplete)]

    return complete


def _with_parameters(
    call: Callable[..., Any], function: Callable[..., Any], parameters: list[inspect.Parameter]
) -> Callable[..., Any]:
    """Shows ``call`` to typer as ``function``, with these parameters."""
    call.__doc__, call.__module__ = function.__doc__, function.__module__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _compiler_parameter(
    declared: list[tuple[str, dataclasses.Field[Any], Any]],
) -> inspect.Parameter:
    """The option of a field that `edgekit.targets.base.option` declares, of one target or more."""
    _, item, hint = declared[0]
    texts: dict[str, list[str]] = {}
    for name, of, _ in declared:
        default = f" [{of.default}]" if type(of.default) in (int, float) else ""
        texts.setdefault(f"{of.metadata['help']}{default}", []).append(name)
    help_text = " ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
    flag = f"--{registry.option_flag(item)}"
    kind: Any = str if item.metadata["separator"] else hint
    annotation = Annotated[
        kind | None,
        typer.Option(flag, help=help_text, metavar=item.metadata["metavar"], show_default=False),
    ]
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _parameter(item: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    meta = item.metadata
    kind = inspect.Parameter.KEYWORD_ONLY
    text = meta["help"].replace("{targets}", ", ".join(registry.OWN))
    if meta.get("argument"):
        argument = typer.Argument(help=text, show_default=False, autocompletion=completes(SPECS))
        return inspect.Parameter(item.name, kind, annotation=Annotated[hint, argument])
    name = option_name(item.name)
    flags = [f"--{name}/--no-{name}"] if hint in (bool, bool | None) else [f"--{name}"]
    default: Any = item.default  # every option has one
    if hint == tuple[str, ...]:
        hint, default = list[str], list(default)
    known = registry.OWN if item.name == "targets" else meta["known"]
    option = typer.Option(
        *flags,
        help=text,
        metavar=meta["metavar"] or (f"[{'|'.join(known)}]" if known else None),
        show_default=item.default is not None,
        autocompletion=completes(known) if known else None,
    )
    return inspect.Parameter(item.name, kind, default=default, annotation=Annotated[hint, option])
