"""The report of a run as Markdown: for the summary of a job, a pull request or a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.report.diagnosis import verdict
from edgekit.report.document import Document, task_of
from edgekit.report.table import NAMES, known_columns
from edgekit.tasks.task import Column

#: What would be read as a table, as markup or as HTML.
_ESCAPES = str.maketrans({c: f"\\{c}" for c in "\\|`*_[]<>#"})


def markdown(document: Document) -> str:
    """The verdict, the rows, the targets and what there is to warn of."""
    task, rows = task_of(document), document["rows"]
    lines = [f"### {escape(document['model'])}", "", escape(verdict(rows, task.metric)), ""]
    lines += markdown_table(known_columns(task, rows), rows)
    if document["targets"]:
        lines += [""]
        lines += [
            f"- **{escape(one['name'])}**: {escape(one['status'])}, {escape(one['message'])}"
            for one in document["targets"]
        ]
    if document["warnings"]:
        lines += ["", *(f"> {escape(line)}" for line in document["warnings"])]
    data = document["data"]
    lines += ["", f"{data['n_val']:,} photos of {escape(data['source'])}; `{document['command']}`"]
    return "\n".join(lines) + "\n"


def markdown_table(columns: Sequence[Column], rows: Sequence[Any]) -> list[str]:
    """The lines of a table; numbers are on the right."""
    titles = [escape(column.title) for column in columns]
    named = {column.title for column in NAMES}
    sides = [":--" if column.title in named else "--:" for column in columns]
    body = [[escape(column.cell(row)) for column in columns] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (titles, sides, *body)]


def escape(text: str) -> str:
    """Text in which nothing is markup, on one line."""
    return " ".join(text.translate(_ESCAPES).split())
