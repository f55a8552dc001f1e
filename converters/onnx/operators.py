"""One operator of a .onnx file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Operator:
    """A node of the main graph.

    Attributes:
        kind: its type, behind its domain where that is not ONNX's own.
        holds_graphs: whether an attribute of it is a graph, which it runs as it sees fit.
    """

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    holds_graphs: bool
