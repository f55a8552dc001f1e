"""Narrow baselines, and files of their weights as libraries write them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from state_dicts import to_torch

from edgekit.converters.weights.naming import Names
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import ModelSpec
from edgekit.networks.graph import Graph


def narrow_baseline(name: str) -> ModelSpec:
    """An eighth as wide; every layer has a name, whatever its width."""
    return scale_spec(BASELINES[name], width=0.125)


def graph_of(name: str, classes: int = 5) -> Graph:
    return build_graph(narrow_baseline(name), classes=classes, resolution=32, seed=4)


def state_of(graph: Graph, names: Names) -> dict[str, NDArray[Any]]:
    """A state dict; torchvision's layer behind the mean is a dense one."""
    state = to_torch(graph, names)
    hidden = "classifier.0.weight"
    return state | ({hidden: state[hidden][:, :, 0, 0]} if hidden in state else {})
