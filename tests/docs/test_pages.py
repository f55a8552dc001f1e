"""The documentation's examples run, page by page; what they print is not compared."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import tomllib
from docs_stand_ins import draw_photos, publish
from examples import PAGES, blocks
from narrow import make_narrow

LANGUAGES = {"console", "python", "sh", "text", "toml", "yaml"}
#: Its blocks are the files of a package; test_plugin.py runs it.
PACKAGE = "plugin.md"
WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page.name != PACKAGE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page):
    assert not [str(block) for block in blocks(page) if block.language not in LANGUAGES]
    assert page.read_text("utf-8").count("```") == 2 * len(blocks(page))


def stated(comment: str) -> object:
    """The value that a comment begins with, such as ``(1, 2)``; None where it is none."""
    match = re.match(r"\(.*?\)", comment)
    try:
        return ast.literal_eval(match[0]) if match else None
    except (ValueError, SyntaxError):
        return None


def execute(page: Path) -> int:
    """Runs a page's blocks in one namespace, and compares values with those in its comments."""
    names: dict[str, object] = {}
    compared = 0
    for block in blocks(page, "python"):
        lines = block.text.splitlines()
        for statement in ast.parse(block.text).body:
            where = ast.Module([statement], [])
            ast.increment_lineno(where, block.line - 1)
            if not isinstance(statement, ast.Expr):
                exec(compile(where, str(page), "exec"), names)  # noqa: S102
                continue
            value = eval(compile(ast.Expression(statement.value), str(page), "eval"), names)  # noqa: S307
            comment = lines[statement.end_lineno - block.line].partition("  # ")[2]
            if (wanted := stated(comment)) is not None:
                assert value == wanted, f"{block}: {lines[statement.end_lineno - block.line]}"
                compared += 1
    return compared


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_python_of_a_page_runs_in_its_order(page, tmp_path, monkeypatch):
    draw_photos(tmp_path)
    make_narrow(["lite0"], monkeypatch, 64)
    publish(["b0", "lite0"], tmp_path / "mirror", monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert execute(page) > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_toml_is_toml(page, tmp_path):
    for block in blocks(page, "toml"):
        table = tomllib.loads(block.text)
        if "optimizer" in table:  # a recipe
            from edgekit.training.recipe_files import read_recipe

            path = tmp_path / "recipe.toml"
            path.write_text(block.text, "utf-8")
            assert read_recipe(str(path)).values["optimizer"] == table["optimizer"]
