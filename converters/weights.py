"""Weights in: reads a file safely, finds out whose names it uses, and fills a Graph strictly."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.architecture import replace_head
from edgekit.converters import timm
from edgekit.errors import UsageError
from edgekit.graph import Array, Graph


@dataclass(frozen=True)
class Loaded:
    """A Graph with weights from a file.

    Attributes:
        graph: the network.
        source: whose file it was: ``edgekit`` or ``timm``.
        note: what was changed on the way, for the user; empty if nothing.
    """

    graph: Graph
    source: str
    note: str = ""


def load_weights(path: Path, graph: Graph, *, seed: int = 0) -> Loaded:
    """Fills a Graph from a file: a Graph of ours, or a timm state dict.

    A classifier for another number of classes is replaced by a fresh one.

    Args:
        path: ``.safetensors``, ``.pth``, ``.pt`` or ``.bin``.
        graph: the network to fill.
        seed: of a fresh classifier.

    Raises:
        UsageError: the file is missing, damaged or unsafe, or does not fit; the first
            mismatching tensors are named.
    """
    if not path.is_file():
        raise UsageError(f"no weights file {path}", hint="a .safetensors or .pth file, or none")
    tensors = _read(path)
    if timm.recognises(set(tensors)):
        source, weights = "timm", timm.to_ours(graph, tensors)
    else:
        source, weights = "edgekit", dict(tensors)
    head = f"{graph.output}/kernel"
    classes = weights[head].shape[-1] if head in weights else graph.classes
    if classes == graph.classes:
        return Loaded(_fill(graph, weights, path), source)
    filled = _fill(replace_head(graph, classes), weights, path)
    note = f"the weights' classifier has {classes} classes, the data {graph.classes}: replaced"
    return Loaded(replace_head(filled, graph.classes, seed), source, note)


def _fill(graph: Graph, weights: Mapping[str, Array], path: Path) -> Graph:
    damaged = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if damaged:
        raise UsageError(f"{path} holds NaN or infinity", cause=f"in {', '.join(damaged[:3])}")
    try:
        return graph.with_weights(weights)
    except UsageError as error:
        raise UsageError(
            f"the weights in {path} are not those of {graph.name}",
            cause=error.cause,
            hint="the model that the weights were trained for, or --weights none",
        ) from None


def _read(path: Path) -> dict[str, Array]:
    try:
        tensors = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise UsageError(
            f"cannot read the weights file {path}",
            cause=f"{type(error).__name__}: {reason}",
            hint="download or copy the file again",
        ) from error
    if not tensors:
        raise UsageError(f"the weights file {path} holds no tensors")
    return tensors


def _is_safetensors(path: Path) -> bool:
    """By content: a length, then the opening brace of a JSON header."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:9] == b"{" or path.suffix == ".safetensors"


def _read_safetensors(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        # Through torch, which knows the half-precision types that numpy lacks.
        return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_torch(path: Path) -> dict[str, Array]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise UsageError(
                f"the weights file {path} holds more than tensors",
                cause="it would run code when loaded, so it was not loaded",
                hint="save the state dict alone, best as .safetensors",
            ) from error
        raise ValueError("neither a safetensors file nor a torch checkpoint") from error
    for key in ("state_dict_ema", "state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise ValueError(f"a {type(state).__name__}, not a dictionary of tensors")
    return {
        name.removeprefix("module."): value.float().numpy()
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
