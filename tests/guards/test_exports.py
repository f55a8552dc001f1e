"""What `edgekit` exports: one list for Python, one for type checkers, and both are the same."""

import ast
import inspect
import re

import pytest
from examples import PAGES

import edgekit


def told_to_type_checkers():
    for node in ast.walk(ast.parse(inspect.getsource(edgekit))):
        if isinstance(node, ast.ImportFrom):
            for name in (alias.asname for alias in node.names if alias.asname):
                yield name, node.module


def test_type_checkers_are_told_the_same():
    assert dict(told_to_type_checkers()) == edgekit._HOMES | {"__version__": "edgekit.version"}


@pytest.mark.parametrize("name", edgekit.__all__)
def test_every_name_is_there_and_comes_from_its_home(name):
    found = getattr(edgekit, name)
    assert getattr(found, "__module__", None) in (None, edgekit._HOMES.get(name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documentation_uses_public_names_alone(page):
    text = page.read_text("utf-8")
    named = set(re.findall(r"(?<![\w./-])edgekit\.([A-Za-z_]+)", text))
    assert named - set(edgekit.__all__) - {"targets", "json", "toml"} == set()
    imported = set(re.findall(r"^\s*(?:from|import) edgekit\.(\w+)", text, re.MULTILINE))
    assert imported <= ({"targets"} if page.name == "plugin.md" else set())
