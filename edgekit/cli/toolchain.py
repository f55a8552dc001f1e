"""``edgekit toolchain install | list | remove | path``: makers' tools in their own environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.targets.toolchains.status import Status
    from edgekit.targets.toolchains.toolchain import Toolchain

app = typer.Typer(
    help="Install makers' tools: compilers and simulators of chips, each in its own environment.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NAME = Annotated[str, typer.Argument(help="As `edgekit toolchain list` names it.")]
NAMES = Annotated[list[str] | None, typer.Argument(help="As `edgekit toolchain list` names them.")]


@app.command("install")
def install_toolchains(
    names: NAMES = None,
    every: Annotated[bool, typer.Option("--all", help="Every one that a target uses.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be installed, and end.")
    ] = False,
) -> None:
    """Install makers' tools, each in an environment of its own.

    It first says the licence, the size and what may not be passed on. The packages come from the
    index that pip is configured with, in exact versions whose hashes edgekit knows. What has
    arrived when it is interrupted is kept: the same command goes on from there.
    """
    from edgekit.errors import EdgekitError, UsageError
    from edgekit.system.console import Console
    from edgekit.system.text import size
    from edgekit.targets import registry
    from edgekit.targets.toolchains.install import describe, install

    console = Console()
    if every:
        chosen = [toolchain for toolchain, _ in registry.toolchains()]
    else:
        chosen = [registry.find_toolchain(name) for name in dict.fromkeys(names or [])]
        if not chosen:
            raise UsageError("no tool is named", hint="edgekit toolchain install --all")
    if dry_run:
        print("\n\n".join("\n".join(describe(toolchain)) for toolchain in chosen))
        return
    failed: EdgekitError | None = None
    for index, toolchain in enumerate(chosen, 1):
        if toolchain.is_beside_us:
            console.note(f"{toolchain.title} {toolchain.version} is installed beside edgekit")
            continue
        try:
            with console.stage(index, len(chosen), f"install {toolchain.name}") as stage:
                stage.cached = toolchain.is_ready
                folder = install(toolchain, progress=console.progress, note=console.note)
                stage.detail = size((toolchain.marker or {}).get("bytes"))
            print(folder)
        except EdgekitError as error:  # the others are installed first
            if failed is not None:
                console.error(failed)
            failed = error
    if failed is not None:
        raise failed


@app.command("list")
def list_toolchains(json: Json = False) -> None:
    """List makers' tools: what uses them, version, licence, size, and whether they are there."""
    from edgekit.targets import registry
    from edgekit.targets.toolchains.install import unused
    from edgekit.targets.toolchains.status import status

    rows = [(toolchain, targets, status(toolchain)) for toolchain, targets in registry.toolchains()]
    left = unused([toolchain.name for toolchain, _, _ in rows])
    if json:
        from json import dumps

        found = [_described(*row) for row in rows]
        document = {"schema_version": 1, "toolchains": found, "unused": left}
        print(dumps(document, indent=2, ensure_ascii=False))
        return
    import sys

    from edgekit.system.console import safe

    lines = _table(rows) if rows else ["no target that is installed uses a maker's tool"]
    lines += [f"{name}: nothing uses it; edgekit toolchain remove {name}" for name in left]
    print(safe("\n".join(lines), sys.stdout))


@app.command("remove")
def remove_toolchain(name: NAME) -> None:
    """Remove a tool's environment, and what is left of an installation that did not end."""
    from edgekit.errors import UsageError
    from edgekit.system.console import Console
    from edgekit.system.text import size
    from edgekit.targets import registry
    from edgekit.targets.toolchains.install import remove, unused

    if name not in unused([]):
        toolchain = registry.find_toolchain(name)
        if toolchain.is_beside_us:
            raise UsageError(
                f"{toolchain.title} is beside edgekit, in the same environment",
                hint=f"pip uninstall {toolchain.package}",
            )
    freed = remove(name)
    Console().note(f"{name} is not installed" if freed is None else f"removed {size(freed)}")


@app.command("path")
def print_path(name: NAME) -> None:
    """Print the Python that has a tool; it ends with 3 where none has."""
    from edgekit.targets import registry

    print(registry.find_toolchain(name).python)


def _described(toolchain: Toolchain, targets: Sequence[str], found: Status) -> dict[str, object]:
    return {
        "name": toolchain.name,
        "title": toolchain.title,
        "targets": list(targets),
        "package": toolchain.package,
        "licence": toolchain.licence,
        "note": toolchain.note,
        "extra": toolchain.extra,
        "folder": str(toolchain.folder),
        "download_mb": toolchain.download_mb,
        "installed_mb": toolchain.installed_mb,
        "programs": [program.name for program in toolchain.programs],
        **found.to_dict(),
    }


COLUMNS = ("name", "targets", "tool", "licence", "installed", "download", "size")


def _table(rows: Sequence[tuple[Toolchain, Sequence[str], Status]]) -> list[str]:
    cells = [COLUMNS, *(_cells(*row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _cells(toolchain: Toolchain, targets: Sequence[str], found: Status) -> tuple[str, ...]:
    from edgekit.system.text import NOTHING, size
    from edgekit.targets.toolchains.status import WORDS

    fetched, about = toolchain.download_mb, toolchain.installed_mb
    return (
        toolchain.name,
        ", ".join(targets),
        f"{toolchain.package} {found.version}",
        toolchain.licence,
        WORDS[found.state],
        size(fetched * 1e6) if fetched else NOTHING,
        size(found.disk_bytes)
        if found.disk_bytes
        else f"{size(about * 1e6) if about else NOTHING}",
    )
