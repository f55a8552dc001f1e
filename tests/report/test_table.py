"""The table of the terminal where there is little to show."""

from __future__ import annotations

import io

from rich.console import Console

from edgekit.report import Document
from edgekit.report.table import result_table
from edgekit.tasks.classification.task import TASK


def drawn(document: Document) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(result_table(TASK, document["rows"], console, str))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_run_that_only_trains_has_its_accuracy(trained: Document) -> None:
    header, row = (line.split("  ") for line in drawn(trained).splitlines())
    assert [cell.strip() for cell in header if cell] == [
        "stage", "runtime", "top-1 %", "95 % interval",
    ]  # fmt: skip
    assert [cell.strip() for cell in row if cell][-2:] == ["93.07", "91.20 to 94.70"]


def test_several_rows_are_compared(document: Document) -> None:
    header = drawn(document).splitlines()[0]
    for title in ("agrees %", "KL", "drop pp", "size", "median ms"):
        assert title in header
