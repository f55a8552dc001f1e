"""``edgekit manual``: the manual page, of the same declarations as ``--help``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from edgekit.version import __version__


def command(context: typer.Context) -> None:
    """Print the manual page, for `man -l -` or a folder of pages."""
    root: Any = context.find_root()
    print("\n".join(_page(root.command, root)))


def _page(root: Any, context: Any) -> Iterator[str]:
    """The page in the language of man (mdoc's older one, man(7))."""
    yield f'.TH EDGEKIT 1 "" "edgekit {__version__}" "User commands"'
    yield ".SH NAME"
    yield f"edgekit \\- {_escape(root.help)}"
    yield ".SH SYNOPSIS"
    yield ".B edgekit"
    yield "COMMAND [OPTIONS]"
    yield ".SH OPTIONS"
    yield from _options(root, context)
    for words, one in walk_commands(root, ()):
        name = " ".join(words)
        own = type(context)(one, info_name=name, parent=context)
        yield f'.SH "EDGEKIT {name.upper()}"'
        yield from _paragraphs(one.help or "")
        yield from _options(one, own)
    yield ".SH EXIT STATUS"
    yield _escape(root.epilog)


def walk_commands(group: Any, before: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is shown, with the words that call it, in order."""
    for name in sorted(group.commands):
        one = group.commands[name]
        if hasattr(one, "commands"):
            yield from walk_commands(one, (*before, name))
        elif not one.hidden:
            yield (*before, name), one


def _options(command: Any, context: Any) -> Iterator[str]:
    """Its arguments and options, each with its help."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f".B {_escape(record[0])}", _escape(record[1]))


def _paragraphs(text: str) -> Iterator[str]:
    for place, part in enumerate(text.split("\n\n")):
        yield from ([".PP"] if place else [])
        yield _escape(" ".join(part.split()))


def _escape(text: str) -> str:
    """Text in which nothing is a request or an escape."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
