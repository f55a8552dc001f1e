"""A module imports from its own room and from those below it, and no two import each other."""

from graphlib import TopologicalSorter

from command_line import imports, sources

#: From the ground up: rooms, and the modules that are one by themselves.
LAYERS = (
    *("version", "errors", "system", "data", "networks", "tasks", "training", "options"),
    *("calibration", "converters", "runtimes", "runs", "report", "targets"),
    *("model", "export", "bench", "parity", "pipeline", "search", "cli", "__main__"),
)


def room(module: str) -> str:
    return module.split(".")[1]


def test_no_import_goes_up():
    assert not [
        f"{module} imports {name}"
        for module in sources().keys() - {"edgekit"}
        for name in imports(module)
        if LAYERS.index(room(name)) > LAYERS.index(room(module))
    ]


def test_no_modules_import_each_other():
    graph = {name: imports(name) for name in sources() if name != "edgekit"}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)
