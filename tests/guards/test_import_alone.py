"""Modules can be imported first, and those that write or look at files without torch."""

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
WITHOUT_TORCH = 'import sys; sys.modules["torch"] = None\n' + PROGRAM
#: Torch is 200 MB and seconds: too much for who writes a file from a Graph, or looks at one.
TORCH_FREE = (
    "edgekit.converters.onnx.write",
    "edgekit.converters.openvino.write",
    "edgekit.converters.savedmodel.write",
    "edgekit.converters.tflite.matching",
    "edgekit.converters.tflite.write",
)
NOT_IMPORTED = ("edgekit.__main__",)  # it runs the command line


@pytest.mark.slow  # 20 s; test_layers.py finds the circles
def test_every_module_is_imported_alone():
    # Workers run in the Python of a maker's tool, and import it.
    workers = {
        name for name in sources() if re.fullmatch(r"edgekit\.targets\.\w+\.\w*worker", name)
    }
    names = sorted(sources().keys() - workers - set(NOT_IMPORTED))
    ran = import_in_order(PROGRAM, names)
    assert ran.stdout.split() == names, ran.stderr


def test_writers_need_no_torch():
    ran = import_in_order(WITHOUT_TORCH, TORCH_FREE)
    assert tuple(ran.stdout.split()) == TORCH_FREE, ran.stderr


def import_in_order(program, names):
    return subprocess.run(
        [sys.executable, "-c", program],
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=False,
    )
