"""The rows as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgekit.report.document import Row
from edgekit.system import text as fmt

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Column(NamedTuple):
    """One figure of every row; where space is short, the highest ``spare`` goes first."""

    title: str
    cell: Callable[[Row], str]
    spare: int = 0


def _drop(row: Row) -> str:
    error = row["drop_se_pp"]
    return fmt.points(row["drop_pp"]) + (f" ± {fmt.points(error)}" if error else "")


def _median(row: Row) -> str:
    return fmt.milliseconds(row["latency_ms"]["median"] if row["latency_ms"] else None)


def _spread(row: Row) -> str:
    latency = row["latency_ms"]
    if not latency:
        return fmt.NOTHING
    return f"{fmt.milliseconds(latency['p5'])} to {fmt.milliseconds(latency['p95'])}"


COLUMNS = (
    Column("stage", lambda row: row["stage"]),
    Column("runtime", lambda row: row["runtime"], spare=5),
    Column("top-1 %", lambda row: fmt.percent(row["top1"])),
    Column("95 % interval", lambda row: " to ".join(map(fmt.percent, row["top1_ci95"])), spare=4),
    Column("top-5 %", lambda row: fmt.percent(row["top5"]), spare=3),
    Column("agrees %", lambda row: fmt.percent(row["agreement"]), spare=1),
    Column("KL", lambda row: fmt.nats(row["kl"]), spare=1),
    Column("drop pp", _drop),
    Column("size", lambda row: fmt.size(row["size_bytes"]), spare=2),
    Column("median ms", _median),
    Column("p5 to p95", _spread, spare=6),
)
COMPARING = ("agrees %", "KL", "drop pp")


def result_table(rows: Sequence[Row], console: Console, clean: Callable[[str], str]) -> Table:
    """Lays the rows out with as many columns as the console is wide.

    Top-5 is left out where it is 1 throughout, as it always is with at most 5 classes; of a single
    row, what compares it with others and what was not measured.

    Args:
        rows: one per stage.
        console: where the table will be printed.
        clean: makes a cell fit for the console's encoding.
    """
    columns = [c for c in COLUMNS if c.title != "top-5 %" or any(row["top5"] < 1 for row in rows)]
    if len(rows) == 1:
        columns = [
            column
            for column in columns
            if column.title not in COMPARING and column.cell(rows[0]) != fmt.NOTHING
        ]
    table = _table(columns, rows, clean)
    boundless = console.options.update(max_width=1000)
    while console.measure(table, options=boundless).maximum > console.width and any(
        column.spare for column in columns
    ):
        columns.remove(max(columns, key=lambda column: column.spare))
        table = _table(columns, rows, clean)
    return table


def _table(columns: Sequence[Column], rows: Sequence[Row], clean: Callable[[str], str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        left = column.title in ("stage", "runtime")
        table.add_column(
            column.title, justify="left" if left else "right", no_wrap=True, overflow="crop"
        )
    for row in rows:
        # Text, because rich reads a plain string in brackets as markup.
        table.add_row(*(Text(clean(column.cell(row))) for column in columns))
    return table
