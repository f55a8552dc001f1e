"""Files and functions that are read without a scroll bar."""

import ast
from collections.abc import Iterator

from command_line import sources

MOST_LINES, MOST_IN_A_FUNCTION, MOST_PARAMETERS = 400, 80, 8
#: A command's parameters are its options.
COMMANDS = "edgekit.cli."
#: One file that is sent to a device and runs there alone.
ALONE = {"edgekit.targets.measure.agent": 450}


def too_long(module: str, text: str) -> Iterator[str]:
    if len(text.splitlines()) > ALONE.get(module, MOST_LINES):
        yield module
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and not module.startswith(COMMANDS):
            taken = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            own = [one.arg for one in taken if one.arg not in ("self", "cls")]
            lines = (node.end_lineno or 0) - node.lineno + 1
            if len(own) > MOST_PARAMETERS or lines > MOST_IN_A_FUNCTION:
                yield f"{module}.{node.name}: {len(own)} parameters, {lines} lines"


def test_nothing_is_long():
    texts = {module: path.read_text("utf-8") for module, path in sources().items()}
    assert not [found for module, text in texts.items() for found in too_long(module, text)]
