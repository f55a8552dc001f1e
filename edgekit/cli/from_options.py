"""Commands whose options are the fields of a dataclass: `BuildOptions`, or a compiler's."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any, get_type_hints

import typer

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
            values |= {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
            return function(options=BuildOptions(**values), **own)

        hints = get_type_hints(BuildOptions)
        fields = [item for item in dataclasses.fields(BuildOptions) if item.name not in without]
        parameters = [_parameter(item, hints[item.name]) for item in fields]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for name, kind in (("json_output", JSON), ("quiet", QUIET))
        ]
        return _with_parameters(call, function, parameters)

    return decorate


def add_compiler_options(function: Callable[..., int]) -> Callable[..., int]:
    """Gives ``edgekit compile`` the options of our targets' compilers, after ``out``.

    The function gets their values by name, as ``given``.
    """
    kinds = [kind for name in registry.COMPILERS if (kind := registry.find(name).compiler_options)]
    fields = {item.name: item for kind in kinds for item in dataclasses.fields(kind)}
    hints = {name: hint for kind in kinds for name, hint in get_type_hints(kind).items()}

    def call(**values: Any) -> int:
        given = {name: values.pop(name) for name in fields}
        for name, item in fields.items():
            if separator := item.metadata["separator"]:
                given[name] = tuple(given[name].split(separator)) if given[name] else ()
        return function(**values, given=given)

    own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]
    place = [parameter.name for parameter in own].index("out") + 1
    added = [_compiler_parameter(item, hints[name]) for name, item in fields.items()]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own[:place], *added, *own[place:])
    ]
    return _with_parameters(call, function, parameters)


def _with_parameters(
    call: Callable[..., int], function: Callable[..., int], parameters: list[inspect.Parameter]
) -> Callable[..., int]:
    """Shows ``call`` to typer as ``function``, with these parameters."""
    call.__doc__, call.__module__ = function.__doc__, function.__module__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _compiler_parameter(item: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    """The option of a field that `edgekit.targets.base.option` declares."""
    meta, default = item.metadata, item.default
    if meta["separator"]:
        hint, default = str | None, None
    flag = f"--{meta['name'] or item.name.replace('_', '-')}"
    is_number = isinstance(default, int) and not isinstance(default, bool)
    settings = {"help": meta["help"], "metavar": meta["metavar"], "show_default": is_number}
    annotation = Annotated[hint, typer.Option(flag, **settings)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(item.name, kind, default=default, annotation=annotation)


def _parameter(item: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    meta = item.metadata
    kind = inspect.Parameter.KEYWORD_ONLY
    text = meta["help"].replace("{targets}", ", ".join(registry.OWN))
    if meta.get("argument"):
        argument = typer.Argument(help=text, show_default=False)
        return inspect.Parameter(item.name, kind, annotation=Annotated[hint, argument])
    name = option_name(item.name)
    flags = [f"--{name}/--no-{name}"] if hint in (bool, bool | None) else [f"--{name}"]
    default: Any = item.default  # every option has one
    if hint == tuple[str, ...]:
        hint, default = list[str], list(default)
    option = typer.Option(
        *flags, help=text, metavar=meta["metavar"], show_default=item.default is not None
    )
    return inspect.Parameter(item.name, kind, default=default, annotation=Annotated[hint, option])
