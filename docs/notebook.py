"""Runs a notebook's cells, keeps what they give, and makes a page of them; needs no Jupyter.

    python docs/notebook.py docs/quick-start.ipynb

It writes the outputs into the file. The cells run in order in one namespace; an output is what a
cell prints, and the value of its last expression.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """The cells that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: Cell) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def outputs_of(cell: Cell) -> str:
    """What a cell gave, as a reader sees it."""
    texts = (out["text"] if "text" in out else out["data"]["text/plain"] for out in cell["outputs"])
    return "".join(line for text in texts for line in text)


def run_cell(cell: Cell, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs one cell, and returns its outputs in the notebook's format.

    Args:
        cell: to run; it is not changed.
        names: of the cells before it; its own are added.
    """
    tree = ast.parse(source(cell))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)  # noqa: S102 - its own notebook
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        lines = text.splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        outputs.append({"output_type": "execute_result", "data": data, "metadata": {}})
    return outputs


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of a run in this folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = []
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            outputs = run_cell(cell, names)
            for output in outputs:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
            cell = {**cell, "execution_count": count, "outputs": outputs}
        cells.append(cell)
    return {**notebook, "cells": cells}


def page(notebook: dict[str, Any], file: str) -> Iterator[str]:
    """The notebook as a page in Markdown, with a link to the file behind its title.

    Args:
        notebook: with its outputs.
        file: its name beside the page.
    """
    for place, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            yield source(cell)
        else:
            yield f"```python\n{source(cell)}\n```"
            if text := outputs_of(cell):
                yield f"```text\n{text.rstrip()}\n```"
        yield ""
        if place == 0:
            yield f"[Download the notebook]({file})"
            yield ""


def main() -> None:
    """Runs the notebook that is named, and writes its outputs into it."""
    path = Path(sys.argv[1])
    notebook = run(json.loads(path.read_text("utf-8")))
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
