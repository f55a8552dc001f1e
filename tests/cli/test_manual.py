"""The manual page, as man renders it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from command_line import commands, options
from prerequisites import skip_without

from edgekit.cli import run


@pytest.fixture(scope="module")
def page():
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as printed:
        assert run(["manual"]) == 0
    return printed.getvalue()


def test_it_has_every_command_and_option(page):
    plain = page.replace("\\-", "-")
    for name in commands():
        assert f'"EDGEKIT {name.upper()}"' in plain
        section = plain.partition(f'"EDGEKIT {name.upper()}"')[2].partition(".SH")[0]
        own = {o for o in options(name) if o.startswith("--")} - options_of_root()
        assert all(option in section for option in own), name


def options_of_root():
    from command_line import root

    return {name for parameter in root().params for name in parameter.opts}


def test_man_renders_it_without_a_warning(page, tmp_path):
    if shutil.which("mandoc") is None:
        skip_without("mandoc")
    path = tmp_path / "edgekit.1"
    path.write_text(page)
    checked = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in checked.stdout.splitlines() if "missing date" not in line]
    assert not said
    shown = subprocess.run(
        ["mandoc", "-T", "ascii", str(path)], capture_output=True, text=True, check=True
    ).stdout
    plain = re.sub(".\b", "", shown)  # bold is a letter over itself
    assert "--max-drop <float>" in plain
    assert "130 interrupted" in " ".join(plain.split())
