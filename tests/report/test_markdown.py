"""Text of users in Markdown: nothing of it is markup."""

from __future__ import annotations

import pytest

from edgekit.report.markdown import escape, markdown_table
from edgekit.tasks.task import Column


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a|b", "a\\|b"),
        ("<b>*x*</b>", "\\<b\\>\\*x\\*\\</b\\>"),
        ("two\nlines", "two lines"),
        ("[a](b)", "\\[a\\](b)"),
        ("0.1 ± 0.2", "0.1 ± 0.2"),
    ],
)
def test_nothing_is_markup(text, wanted):
    assert escape(text) == wanted


def test_a_table_has_a_cell_for_each_column():
    columns = [Column("stage", lambda row: row["a"]), Column("n|m", lambda row: str(row["b"]))]
    found = markdown_table(columns, [{"a": "x|y", "b": 1}])
    assert found == ["| stage | n\\|m |", "| :-- | --: |", "| x\\|y | 1 |"]
