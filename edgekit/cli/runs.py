"""``edgekit runs``: the runs in a folder, two of them beside each other, and what they take up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.report.comparison import Comparison
    from edgekit.report.run_list import ListedRun

app = typer.Typer(
    help="List the runs of a folder, compare two of them, and remove what takes up room.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
FOLDER = Path("runs")
Folder = Annotated[Path, typer.Argument(help="That holds runs.", metavar="FOLDER")]


@app.command("list")
def list_runs(folder: Folder = FOLDER, json: Json = False) -> None:
    """List the runs of a folder, the newest first: accuracy, int8's drop, size and room."""
    from edgekit.report.run_list import find_runs

    found = find_runs(folder)
    if json:
        from json import dumps

        document = {"schema_version": 1, "runs": [run.to_dict() for run in found]}
        print(dumps(document, indent=2, ensure_ascii=False))
        return
    print("\n".join(_lines(found)))


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(help="A run.", metavar="A")],
    second: Annotated[Path, typer.Argument(help="Another: is it worse?", metavar="B")],
    html: Annotated[
        Path | None, typer.Option(help="Write a page, too.", metavar="FILE", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Compare two runs, photo by photo where their validation photos are the same."""
    from edgekit.report.comparison import compare_runs, write_comparison
    from edgekit.system.console import Console

    found = compare_runs(first, second)
    if html is not None:
        write_comparison(found, html)
    if json:
        from json import dumps

        print(dumps(found.to_dict(), indent=2, ensure_ascii=False, default=str))
    else:
        print("\n".join(_compared(found)))
    if html is not None:
        Console().note(f"page: {html}")


@app.command("prune")
def prune(
    folder: Folder = FOLDER,
    keep: Annotated[int, typer.Option(help="So many of the newest keep all.", min=0)] = 3,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only said.")] = False,
) -> None:
    """Remove the stages of older runs: their files and reports stay, and cannot be resumed."""
    from edgekit.report.run_list import find_runs, remove_stages
    from edgekit.system.console import Console
    from edgekit.system.text import size

    older = [run for run in find_runs(folder)[keep:] if run.stage_bytes]
    for run in older:
        if yes:
            remove_stages(run)
        print(f"{run.folder}  {size(run.stage_bytes)}")
    freed = size(sum(run.stage_bytes for run in older))
    word = "removed" if yes else "to remove: add --yes"
    Console().note(f"stages of {len(older)} runs, {freed}, {word}")


def _lines(found: list[ListedRun]) -> list[str]:
    from edgekit.system.text import NOTHING, percent, size

    if not found:
        raise UsageError("the folder holds no runs", hint="edgekit build --out FOLDER/NAME")
    width = max(len(run.folder.name) for run in found)
    lines = [
        f"{'run':<{width}}  {'made':<16} {'float %':>8} {'int8 %':>8} {'drop pp':>8} "
        f"{'file':>9} {'room':>9}"
    ]
    for run in found:
        drop = NOTHING if run.drop_pp is None else f"{run.drop_pp:.2f}"
        lines.append(
            f"{run.folder.name:<{width}}  {run.created:%Y-%m-%d %H:%M} "
            f"{percent(run.score):>8} {percent(run.int8_score):>8} {drop:>8} "
            f"{size(run.file_bytes):>9} {size(run.stage_bytes):>9}"
        )
    return lines


def _said(value: Any) -> str:
    """An option's value, as the command line has it."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _compared(found: Comparison) -> list[str]:
    from edgekit.report.comparison import verdict
    from edgekit.system.text import NOTHING, percent

    first, second = found.sides
    metric = first.task.metric
    lines = [f"{'stage':<16} {'A, ' + metric.name + ' %':>14} {'B':>8} {'B less, pp':>16}"]
    for stage in found.stages:
        rows: list[Any] = [side.rows.get(stage) for side in (first, second)]
        figures = [NOTHING if row is None else percent(metric.value(row)) for row in rows]
        pair = found.paired.get(stage)
        less = NOTHING if pair is None else f"{pair.drop_pp:.2f} ± {pair.half_width_pp:.2f}"
        lines.append(f"{stage:<16} {figures[0]:>14} {figures[1]:>8} {less:>16}")
    lines += [
        f"--{name.replace('_', '-')}: {_said(before)} in A, {_said(after)} in B"
        for name, (before, after) in found.differing.items()
    ]
    return [*lines, verdict(found)]
