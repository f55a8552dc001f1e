"""Every module can be imported first: none works only because another was imported before it."""

import re
import subprocess
import sys

import pytest
from command_line import sources

PROGRAM = """
import importlib, sys
for name in sys.stdin.read().split():
    for loaded in [known for known in sys.modules if known.partition(".")[0] == "edgekit"]:
        del sys.modules[loaded]
    importlib.import_module(name)
    print(name)
"""
NOT_IMPORTED = ("edgekit.__main__",)  # it runs the command line


@pytest.mark.slow  # 20 s; test_layers.py finds the circles
def test_every_module_is_imported_alone():
    # Workers run in the Python of a maker's tool, and import it.
    workers = {
        name for name in sources() if re.fullmatch(r"edgekit\.targets\.\w+\.\w*worker", name)
    }
    names = sorted(sources().keys() - workers - set(NOT_IMPORTED))
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == names, ran.stderr
