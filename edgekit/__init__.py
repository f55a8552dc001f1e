"""edgekit: an EfficientNet from images to a verified model on an edge device.

    import edgekit
    run = edgekit.build("lite0", data="photos", targets=["tflite"])

The names below are imported when they are first used, so that ``import edgekit`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "BuildOptions": "edgekit.options",
    "EdgekitError": "edgekit.errors",
    "Graph": "edgekit.graph",
    "Model": "edgekit.model",
    "ModelSpec": "edgekit.spec",
    "Network": "edgekit.network",
    "Preprocessing": "edgekit.preprocessing",
    "Recipe": "edgekit.training.recipe",
    "Run": "edgekit.pipeline.build",
    "Training": "edgekit.pipeline.train",
    "build": "edgekit.pipeline.build",
    "build_graph": "edgekit.architecture",
    "find_spec": "edgekit.spec",
    "inspect_file": "edgekit.inspection",
    "list_models": "edgekit.catalog",
    "load": "edgekit.model",
    "load_weights": "edgekit.converters.weights",
    "train": "edgekit.pipeline.train",
}

__all__ = [
    "BuildOptions",
    "EdgekitError",
    "Graph",
    "Model",
    "ModelSpec",
    "Network",
    "Preprocessing",
    "Recipe",
    "Run",
    "Training",
    "__version__",
    "build",
    "build_graph",
    "find_spec",
    "inspect_file",
    "list_models",
    "load",
    "load_weights",
    "train",
]

if TYPE_CHECKING:
    from edgekit.architecture import build_graph
    from edgekit.catalog import list_models
    from edgekit.converters.weights import load_weights
    from edgekit.errors import EdgekitError
    from edgekit.graph import Graph
    from edgekit.inspection import inspect_file
    from edgekit.model import Model, load
    from edgekit.network import Network
    from edgekit.options import BuildOptions
    from edgekit.pipeline.build import Run, build
    from edgekit.pipeline.train import Training, train
    from edgekit.preprocessing import Preprocessing
    from edgekit.spec import ModelSpec, find_spec
    from edgekit.training.recipe import Recipe


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
