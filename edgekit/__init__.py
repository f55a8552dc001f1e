"""edgekit: an EfficientNet from images to a verified model on an edge device.

    import edgekit
    run = edgekit.build("lite0", data="photos", targets=["tflite"])

The names below are imported when they are first used, so that ``import edgekit`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgekit.version import __version__

_HOMES = {
    "BuildOptions": "edgekit.options.build",
    "EdgekitError": "edgekit.errors",
    "Graph": "edgekit.networks.graph",
    "Model": "edgekit.model",
    "ModelSpec": "edgekit.networks.efficientnet.spec",
    "Network": "edgekit.networks.torch_network",
    "Preprocessing": "edgekit.data.preprocessing",
    "Recipe": "edgekit.training.recipe",
    "Run": "edgekit.pipeline.build",
    "Training": "edgekit.pipeline.train",
    "build": "edgekit.pipeline.build",
    "build_graph": "edgekit.networks.efficientnet.architecture",
    "find_spec": "edgekit.networks.efficientnet.spec",
    "inspect_file": "edgekit.targets.inspection.inspect",
    "list_models": "edgekit.networks.efficientnet.catalog",
    "load": "edgekit.model",
    "load_weights": "edgekit.converters.weights.load",
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
    from edgekit.converters.weights.load import load_weights
    from edgekit.data.preprocessing import Preprocessing
    from edgekit.errors import EdgekitError
    from edgekit.model import Model, load
    from edgekit.networks.efficientnet.architecture import build_graph
    from edgekit.networks.efficientnet.catalog import list_models
    from edgekit.networks.efficientnet.spec import ModelSpec, find_spec
    from edgekit.networks.graph import Graph
    from edgekit.networks.torch_network import Network
    from edgekit.options.build import BuildOptions
    from edgekit.pipeline.build import Run, build
    from edgekit.pipeline.train import Training, train
    from edgekit.targets.inspection.inspect import inspect_file
    from edgekit.training.recipe import Recipe


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
