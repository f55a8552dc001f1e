"""The rows as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.report.document import Chip, Row
from edgekit.system import text as fmt
from edgekit.tasks.task import Column, Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def _median(row: Row) -> str:
    return fmt.milliseconds(row["latency_ms"]["median"] if row["latency_ms"] else None)


def _spread(row: Row) -> str:
    latency = row["latency_ms"]
    if not latency:
        return fmt.NOTHING
    return f"{fmt.milliseconds(latency['p5'])} to {fmt.milliseconds(latency['p95'])}"


NAMES = (
    Column("stage", lambda row: row["stage"]),
    Column("runtime", lambda row: row["runtime"], spare=5),
)
COSTS = (
    Column("size", lambda row: fmt.size(row["size_bytes"]), spare=2),
    Column("median ms", _median),
    Column("p5 to p95", _spread, spare=6),
)


def _chip_memory(chip: Chip) -> str:
    memory = chip["figures"]["memory"]
    return ", ".join(f"{name} {fmt.size(count)}" for name, count in memory.items()) or fmt.NOTHING


def _on_chip(chip: Chip) -> str:
    mapped, rest = chip["figures"]["mapped"], chip["figures"]["on_cpu"] or 0
    return fmt.NOTHING if mapped is None else f"{mapped} of {mapped + rest}"


CHIP_NAMES = (
    Column("chip", lambda chip: chip["row"]["stage"] if chip["row"] else chip["target"]),
    Column("run by", lambda chip: chip["runtime"] or fmt.NOTHING, spare=7),
)
CHIP_FIGURES = (
    Column("= int8 %", lambda chip: fmt.percent(chip["agreement_int8"]), spare=3),
    Column("same bits %", lambda chip: fmt.percent(chip["same"])),
    Column("on the chip", _on_chip),
    Column("memory", _chip_memory, spare=6),
    Column("ms", lambda chip: fmt.milliseconds(chip["figures"]["latency_ms"])),
)


def chips_table(
    task: Task, chips: Sequence[Chip], console: Console, clean: Callable[[str], str]
) -> Table:
    """Lays the chips out as `result_table` does the rows."""

    def of_row(column: Column) -> Column:
        def cell(chip: Chip) -> str:
            return column.cell(chip["row"]) if chip["row"] else fmt.NOTHING

        rows = [chip["row"] for chip in chips if chip["row"]]
        is_known = bool(rows) and column.is_known(rows)
        return column._replace(cell=cell, is_known=lambda _: is_known)

    count = Column("n", lambda chip: str(chip["row"]["n"]) if chip["row"] else fmt.NOTHING)
    measured = [of_row(column) for column in task.page.columns]
    columns = [c for c in (*CHIP_NAMES, count, *measured, *CHIP_FIGURES) if c.is_known(chips)]
    return _fitted(columns, chips, console, clean)


def result_table(
    task: Task, rows: Sequence[Row], console: Console, clean: Callable[[str], str]
) -> Table:
    """Lays the rows out with as many columns as the console is wide.

    Args:
        task: gives the columns between names and costs.
        rows: one per stage.
        console: where the table will be printed.
        clean: makes a cell fit for the console's encoding.
    """
    return _fitted(known_columns(task, rows), rows, console, clean)


def known_columns(task: Task, rows: Sequence[Row]) -> list[Column]:
    """The columns of rows; of a single one without what compares it and what was not measured."""
    columns = [c for c in (*NAMES, *task.page.columns, *COSTS) if c.is_known(rows)]
    if len(rows) > 1:
        return columns
    return [c for c in columns if not c.compares and c.cell(rows[0]) != fmt.NOTHING]


def _fitted(
    columns: list[Column], rows: Sequence[Any], console: Console, clean: Callable[[str], str]
) -> Table:
    """A table of as many columns as the console is wide."""
    table = _table(columns, rows, clean)
    boundless = console.options.update(max_width=1000)
    while console.measure(table, options=boundless).maximum > console.width and any(
        column.spare for column in columns
    ):
        columns.remove(max(columns, key=lambda column: column.spare))
        table = _table(columns, rows, clean)
    return table


def _table(columns: Sequence[Column], rows: Sequence[Any], clean: Callable[[str], str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        left = column in (*NAMES, *CHIP_NAMES)
        table.add_column(
            column.title, justify="left" if left else "right", no_wrap=True, overflow="crop"
        )
    for row in rows:
        # Text, because rich reads a plain string in brackets as markup.
        table.add_row(*(Text(clean(column.cell(row))) for column in columns))
    return table
