"""Files and functions that are read without a scroll bar."""

import ast

import pytest
from command_line import sources

MOST_LINES, MOST_IN_A_FUNCTION, MOST_PARAMETERS = 400, 80, 8
#: A command's parameters are its options.
COMMANDS = "edgekit.cli."
#: One file that is sent to a device and runs there alone.
ALONE = {"edgekit.targets.measure.agent": 450}


@pytest.mark.parametrize("module", sorted(sources()))
def test_nothing_is_long(module):
    text = sources()[module].read_text("utf-8")
    assert len(text.splitlines()) <= ALONE.get(module, MOST_LINES)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and not module.startswith(COMMANDS):
            taken = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            own = [one.arg for one in taken if one.arg not in ("self", "cls")]
            assert len(own) <= MOST_PARAMETERS, node.name
            assert (node.end_lineno or 0) - node.lineno < MOST_IN_A_FUNCTION, node.name
