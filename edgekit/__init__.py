"""edgekit: an EfficientNet from images to a verified model on an edge device.

    import edgekit
    run = edgekit.build("lite0", data="photos", targets=["tflite"])

The names below are imported when they are first used, so that ``import edgekit`` is instant.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgekit.version import __version__ as __version__

if TYPE_CHECKING:  # what is here is public; `_HOMES` says the same to Python itself
    from edgekit import export as export
    from edgekit.converters.findings import Finding as Finding
    from edgekit.converters.onnx.package import package_onnx as package_onnx
    from edgekit.converters.tflite.metadata import read_metadata as read_metadata
    from edgekit.converters.tflite.write import write_tflite as write_tflite
    from edgekit.converters.weights.load import load_weights as load_weights
    from edgekit.data.images import decode_image as decode_image
    from edgekit.data.preprocessing import Preprocessing as Preprocessing
    from edgekit.errors import EdgekitError as EdgekitError
    from edgekit.model import Model as Model
    from edgekit.model import load as load
    from edgekit.networks.efficientnet.architecture import build_graph as build_graph
    from edgekit.networks.efficientnet.catalog import list_models as list_models
    from edgekit.networks.efficientnet.find import find_spec as find_spec
    from edgekit.networks.efficientnet.spec import ModelSpec as ModelSpec
    from edgekit.networks.graph import Graph as Graph
    from edgekit.networks.passes import prepare as prepare
    from edgekit.networks.torch_network import Network as Network
    from edgekit.options.build import BuildOptions as BuildOptions
    from edgekit.parity.compare import compare_executions as compare_executions
    from edgekit.parity.departures import find_departure as find_departure
    from edgekit.pipeline.build import Run as Run
    from edgekit.pipeline.build import build as build
    from edgekit.pipeline.train import Training as Training
    from edgekit.pipeline.train import train as train
    from edgekit.runtimes.open import open_classifier as open_classifier
    from edgekit.search.choose import choose as choose
    from edgekit.system.console import Console as Console
    from edgekit.targets.base import Examination as Examination
    from edgekit.targets.base import Target as Target
    from edgekit.targets.inspection.inspect import inspect_file as inspect_file
    from edgekit.training.recipe import Recipe as Recipe

_HOMES = {
    "BuildOptions": "edgekit.options.build",
    "Console": "edgekit.system.console",
    "EdgekitError": "edgekit.errors",
    "Examination": "edgekit.targets.base",
    "Finding": "edgekit.converters.findings",
    "Graph": "edgekit.networks.graph",
    "Model": "edgekit.model",
    "ModelSpec": "edgekit.networks.efficientnet.spec",
    "Network": "edgekit.networks.torch_network",
    "Preprocessing": "edgekit.data.preprocessing",
    "Recipe": "edgekit.training.recipe",
    "Run": "edgekit.pipeline.build",
    "Target": "edgekit.targets.base",
    "Training": "edgekit.pipeline.train",
    "build": "edgekit.pipeline.build",
    "build_graph": "edgekit.networks.efficientnet.architecture",
    "choose": "edgekit.search.choose",
    "compare_executions": "edgekit.parity.compare",
    "decode_image": "edgekit.data.images",
    "export": "edgekit",  # a module
    "find_departure": "edgekit.parity.departures",
    "find_spec": "edgekit.networks.efficientnet.find",
    "inspect_file": "edgekit.targets.inspection.inspect",
    "list_models": "edgekit.networks.efficientnet.catalog",
    "load": "edgekit.model",
    "load_weights": "edgekit.converters.weights.load",
    "open_classifier": "edgekit.runtimes.open",
    "package_onnx": "edgekit.converters.onnx.package",
    "prepare": "edgekit.networks.passes",
    "read_metadata": "edgekit.converters.tflite.metadata",
    "train": "edgekit.pipeline.train",
    "write_tflite": "edgekit.converters.tflite.write",
}

__all__ = sorted([*_HOMES, "__version__"])

# A folder, but for a checkout without links.
if os.path.isfile(os.path.join(os.path.dirname(__file__), "converters")):
    raise ImportError(
        "the folders of this checkout are not linked: git wrote their links as text files. Allow "
        "links (on Windows in the settings for developers), then `git config core.symlinks true` "
        "and `git checkout -- edgekit`; or `pip install .`, which needs none"
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    home = _HOMES[name]
    if home == __name__:
        return import_module(f"{home}.{name}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
