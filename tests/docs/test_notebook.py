"""The notebook runs, and what it shows is what it gives."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest
from docs_stand_ins import draw_photos, publish
from narrow import make_narrow
from places import ROOT

NOTEBOOK = json.loads((ROOT / "docs/quick-start.ipynb").read_text("utf-8"))


@pytest.fixture(scope="module")
def notebook():
    """The script that runs it, as a module."""
    spec = importlib.util.spec_from_file_location("run_notebook", ROOT / "docs/notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(text: str) -> list[str]:
    """The words of an output, without figures and the names of classes."""
    return re.findall(r"[a-z]{3,}", re.sub("daisy|dandelion|roses|sunflowers|tulips", "", text))


def test_every_cell_was_run_in_its_order(notebook):
    cells = notebook.code_cells(NOTEBOOK)
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert all(notebook.outputs_of(cell) for cell in cells)
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])


def test_a_cell_gives_what_it_prints_and_its_last_value(notebook):
    names = {"x": 2}
    cell = {"source": ["print('a')\n", "y = x + 1\n", "y"]}
    printed, value = notebook.run_cell(cell, names)
    assert printed == {"output_type": "stream", "name": "stdout", "text": ["a\n"]}
    assert value["data"] == {"text/plain": ["3"]}
    assert names["y"] == 3
    assert notebook.run_cell({"source": ["None"]}, names) == []


def test_the_page_has_every_cell_and_output(notebook):
    page = "\n".join(notebook.page(NOTEBOOK, "quick-start.ipynb"))
    assert page.startswith("# ")
    assert "(quick-start.ipynb)" in page
    for cell in notebook.code_cells(NOTEBOOK):
        assert notebook.source(cell) in page
        assert notebook.outputs_of(cell).rstrip() in page


@pytest.mark.slow  # a build
def test_the_notebook_runs_and_gives_what_it_shows(notebook, tmp_path, monkeypatch):
    """On drawn photos of three classes: figures and classes differ, and nothing else."""
    make_narrow(["lite0"], monkeypatch, 64)
    publish(["lite0"], tmp_path / "mirror", monkeypatch)
    draw_photos(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = notebook.run(NOTEBOOK)
    for shown, given in zip(*map(notebook.code_cells, (NOTEBOOK, done)), strict=True):
        before, now = map(notebook.outputs_of, (shown, given))
        assert words(now) == words(before)
