"""The help of a command with many options: the everyday ones, or all of them in groups."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from edgekit.options.build import EVERYDAY, GROUPS, group_of

#: Where in a context it is kept that all options are to be shown.
_ALL = "edgekit.help_all"
#: The group of what is not a field of `BuildOptions`, which is the last one.
OUTPUT = "Output"


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        context.meta[_ALL] = True
        print(context.get_help())
        raise typer.Exit


HELP_ALL = Annotated[
    bool,
    typer.Option(
        "--help-all", is_eager=True, callback=_show_all, help="Show all options, and exit."
    ),
]


class GroupedCommand(TyperCommand):
    """A command whose ``--help`` shows the everyday options and ``--help-all`` all of them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options into a help page; called by the parser."""
        rows: dict[str, list[tuple[str, str]]] = {}
        arguments: list[tuple[str, str]] = []
        count = 0
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                arguments.append(record)
                continue
            count += 1
            if ctx.meta.get(_ALL):
                rows.setdefault(group_of(param.name) or OUTPUT, []).append(record)
            elif param.name in EVERYDAY or group_of(param.name) is None:
                rows.setdefault("Options", []).append(record)
        sections = {"Arguments": arguments}
        sections |= {title: rows[title] for title in (*GROUPS, OUTPUT, "Options") if title in rows}
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if not ctx.meta.get(_ALL):
            has = {group_of(param.name) for param in self.get_params(ctx)}
            groups = ", ".join(title.lower() for title in GROUPS if title in has)
            with formatter.section("More"):
                formatter.write_text(f"--help-all shows all {count} options: {groups}.")
