"""The site: pages made of the program, links that are followed, and the whole of it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from command_line import commands, options
from places import ROOT
from prerequisites import needs

QUICK_START = ROOT / "docs/quick-start.ipynb"


@pytest.fixture(scope="module")
def build():
    """The script that builds it, as a module."""
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs/build.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_has_all_of_them(build):
    page = "\n".join(build.commands())
    for name in commands():
        section = page.partition(f"## edgekit {name}\n")[2].partition("\n## ")[0]
        assert section, name
        shown = {option for option in options(name) if option.startswith("--")}
        own = {o for o in shown if f"`{o}" in section or f", {o}" in section or f"{o} " in section}
        assert {"--help"} <= own
    assert "130 interrupted" in page


def test_a_bracket_in_help_is_no_link_and_no_tag(build):
    assert build._plain("[by model] <x>") == "\\[by model\\] &lt;x>"
    assert build._cell("a|b\n c") == "a\\|b c"


def test_a_link_to_nothing_is_found(build, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SITE", tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/index.html").write_text('<h1 id="here">x</h1><img src="../no.png">')
    links = ["other/", "other/#here", "other/#gone", "none/", "https://x.invalid/"]
    (tmp_path / "index.html").write_text("".join(f'<a href="{link}">x</a>' for link in links))
    assert sorted(build.broken_links()) == [
        "index.html: none/",
        "index.html: other/#gone",
        "other/index.html: ../no.png",
    ]


@pytest.mark.slow
@needs("zensical")
def test_the_site_builds_without_a_warning():
    line = [sys.executable, ROOT / "docs/build.py"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    site = ROOT / "build/site"
    assert "edgekit.build" in (site / "api/index.html").read_text("utf-8")
    overview = (site / "llms.txt").read_text("utf-8")
    assert all(f"({name}/)" in overview for name in ("search", "tutorials/own-photos"))
    assert "rows[].kl" in (site / "report/index.html").read_text("utf-8")
    assert (site / "quick-start.ipynb").read_bytes() == QUICK_START.read_bytes()
    assert "open_classifier" in (site / "quick-start/index.html").read_text("utf-8")
