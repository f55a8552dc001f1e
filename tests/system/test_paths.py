"""Every public call takes a path as text and as any path-like object."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import sources
from narrow import make_narrow
from PIL import Image

import edgekit
from edgekit.data.images import decode_image
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS

#: What only the program itself calls, with paths that it has made.
INTERNAL = (
    "edgekit.runs",  # folders of stages
    # Layouts, of the folder that `find_layout` or `find_box_layout` has found.
    "edgekit.data.(masks|boxes|coco_files)",
    "edgekit.data.shards.(photos|pool)",  # shards that `find_shards` has found
    "edgekit.cli",  # the parser makes paths of words
    "edgekit.pipeline",  # stages, in folders of a build
    "edgekit.training",  # likewise
    "edgekit.system.http",  # parts of a download
    "edgekit.system.host",
    "edgekit.targets.devices.adb",  # the transports of devices
    "edgekit.targets.devices.hosts",
    "edgekit.targets.devices.ssh",
    "edgekit.targets.devices.send",
    "edgekit.targets.measure.journal",
    "edgekit.targets.measure.agent",  # runs on the device, without the package
    "edgekit.tasks.classification.device_program",  # likewise
    "edgekit.targets.deploy.templates",
    # What a target does with paths that its own methods were given.
    r"edgekit.targets.(ethosu|executorch|imx500|npus|qnn|rknn|tflm)",
    "edgekit.targets.toolchains",  # folders of environments
    "edgekit.search.estimates",  # files that a search has written
    "edgekit.search.study.(page|results|settings|store)",  # the folder of a search
)
PUBLIC = [name for name in sources() if not re.match("|".join(INTERNAL) + r"\b", name)]


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The public functions of a module, and the public methods of its public classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and re.match(r"__init__|[^_]", node.name):
            yield prefix + node.name, node


def test_no_public_call_wants_a_path_of_one_type():
    narrow = [
        f"{module}.{name}({argument.arg}: {ast.unparse(argument.annotation)})"
        for module in PUBLIC
        for name, node in functions(ast.parse(sources()[module].read_text("utf-8")))
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.annotation and re.search(r"\bPath\b", ast.unparse(argument.annotation))
    ]
    assert not narrow


class Named:
    """A path-like object that is neither text nor a Path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, Named])
def test_photos_networks_and_weights_are_read_by_any_name(kind, tmp_path, monkeypatch):
    make_narrow(["lite0"], monkeypatch, 32)
    graph = build_graph(SPECS["lite0"], classes=2, resolution=32, seed=1)
    graph.save(kind(tmp_path / "lite0.safetensors"))
    again = edgekit.Graph.load(kind(tmp_path / "lite0.safetensors"))
    assert again.nodes == graph.nodes
    loaded = edgekit.load_weights(kind(tmp_path / "lite0.safetensors"), SPECS["lite0"], classes=2)
    model = edgekit.load("lite0", kind(tmp_path / "lite0.safetensors"), resolution=32)
    for name, array in graph.weights.items():
        np.testing.assert_array_equal(loaded.graph.weights[name], array)
        np.testing.assert_array_equal(model.graph.weights[name], array)
    Image.new("RGB", (40, 30), (9, 8, 7)).save(tmp_path / "photo.png")
    assert decode_image(kind(tmp_path / "photo.png")).size == (40, 30)
    assert model.photo(kind(tmp_path / "photo.png")).shape == (1, 3, 32, 32)
