"""The network as data: typed nodes over named NHWC tensors, with the weights held apart.

Every node has one output tensor, which carries the node's name. Shapes leave the batch out.
A network's outputs are the tensors that no node reads; where there are several, they are rows,
as many of each, and wherever they are one array they are joined along their columns.
A quantized network is the same Graph with `QuantParams` on its tensors and weights.

Weights are float32 arrays named ``NODE/kernel``, ``NODE/bias`` or, where the node normalises
its output, ``NODE/gamma``, ``/beta``, ``/mean``, ``/variance``; of a weighted sum
``NODE/weights``; what boxes are relative to ``NODE/anchors``. Kernels have TensorFlow's layouts:
HWIO for convolutions, HWC for depthwise ones, IO for fully connected ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from edgekit.errors import UsageError
from edgekit.networks.nodes import (
    ArgMax,
    Array,
    DetectionPostProcess,
    Node,
    Shape,
    WindowNode,
    node_from_json,
)
from edgekit.system.paths import StrPath
from edgekit.system.tensor_files import write_tensors

FORMAT = "edgekit-graph/1"


@dataclass(frozen=True)
class QuantParams:
    """How integers stand for reals: ``real = scale * (integer - zero_point)``.

    Which of a network's tensors and weights have some says its scheme (`edgekit.networks.schemes`).

    Attributes:
        scale: float64 values, one, or one per channel.
        zero_point: integers, as many as scales; 0 of all types but an activation's ``int8``.
        dtype: ``int8`` or ``int16`` of an activation, ``int8`` of a kernel, ``int32`` of a bias
            beside int8 activations, ``int64`` beside int16 ones.
        axis: the channel axis of a per-channel scheme, else None.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    dtype: str = "int8"
    axis: int | None = None


@dataclass(frozen=True)
class Graph:
    """A network.

    Attributes:
        name: of the variant.
        input: name of the input tensor.
        nodes: in an order in which every input is written before it is read.
        shapes: of every tensor, NHWC without the batch.
        weights: float32 arrays by full name.
        quant: by tensor or weight name; empty for a float network.
        origin: what it was built from, as plain data that JSON holds: the key ``family``, and
            what that family's own module reads.
    """

    name: str
    input: str
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape]
    weights: Mapping[str, Array] = field(repr=False)
    quant: Mapping[str, QuantParams] = field(default_factory=dict, repr=False)
    origin: Mapping[str, Any] | None = field(default=None, repr=False)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The tensors that nothing reads, in the order in which they are written."""
        read = {name for node in self.nodes for name in node.inputs}
        return tuple(node.name for node in self.nodes if node.name not in read)

    @property
    def output(self) -> str:
        """What the last node writes: the tensor of logits, or of classes."""
        return self.nodes[-1].name

    @property
    def output_shape(self) -> Shape:
        """Of the outputs, joined where there are several; without the batch."""
        shapes = [self.shapes[name] for name in self.outputs]
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    @property
    def classes(self) -> int:
        """Number of classes: of the last output's logits, or of those that it chooses from."""
        name = self.output
        while name in self.class_tensors | self.float_tensors:
            name = self.node(name).inputs[-1]
        return self.shapes[name][-1]

    @property
    def resolution(self) -> int:
        """Side of the square input in pixels."""
        return self.shapes[self.input][0]

    @cached_property
    def class_tensors(self) -> frozenset[str]:
        """The tensors that hold numbers of classes: integers, which no scheme rounds."""
        found: set[str] = set()
        for node in self.nodes:
            if isinstance(node, ArgMax) or found.issuperset(node.inputs):
                found.add(node.name)
        return frozenset(found)

    @cached_property
    def float_tensors(self) -> frozenset[str]:
        """The tensors that are float in every scheme: boxes, behind the network's own outputs."""
        return frozenset(n.name for n in self.nodes if isinstance(n, DetectionPostProcess))

    def node(self, name: str) -> Node:
        """Returns the node that writes the tensor ``name``."""
        return next(node for node in self.nodes if node.name == name)

    def has_same_padding(self, node: WindowNode) -> bool:
        """Whether what a node adds to a map is where TensorFlow's ``SAME`` has it."""
        same = replace(node, padding="same")
        return all(node.pads(side) == same.pads(side) for side in self.shapes[node.inputs[0]][:2])

    def node_weights(self, node: Node) -> dict[str, Array]:
        """Returns a node's weights by their short names (``kernel``, ``bias``, …)."""
        return {name.rpartition("/")[2]: self.weights[name] for name in node.weight_names()}

    def last_uses(self) -> dict[str, str]:
        """Maps each tensor to the last node that reads it, so that it can be freed there."""
        return {name: node.name for node in self.nodes for name in node.inputs}

    def with_weights(self, weights: Mapping[str, Array]) -> Graph:
        """Returns the same network with other weights.

        Raises:
            UsageError: names or shapes differ; the first few are listed.
        """
        problems = list(_differences(self.weights, weights))
        if problems:
            shown = "; ".join(problems[:3])
            more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise UsageError(f"the weights do not fit {self.name}", cause=shown + more)
        ordered = {name: np.asarray(weights[name], np.float32) for name in self.weights}
        return replace(self, weights=ordered)

    def save(self, path: StrPath) -> None:
        """Writes one safetensors file whose header holds the network as JSON."""
        header = {
            "format": FORMAT,
            "name": self.name,
            "input": self.input,
            "nodes": [{"op": type(node).__name__, **asdict(node)} for node in self.nodes],
            "shapes": self.shapes,
            "quant": {name: asdict(params) for name, params in self.quant.items()},
            "origin": self.origin,
        }
        write_tensors(path, self.weights, {"edgekit": json.dumps(header)})

    @classmethod
    def load(cls, path: StrPath) -> Graph:
        """Reads what `save` wrote.

        Raises:
            UsageError: the file is missing, damaged, or not a graph of ours.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                header = json.loads((file.metadata() or {})["edgekit"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']}")
            return cls(
                name=header["name"],
                input=header["input"],
                nodes=tuple(node_from_json(item) for item in header["nodes"]),
                shapes={name: tuple(shape) for name, shape in header["shapes"].items()},
                weights=weights,
                quant={name: _quant_from_json(item) for name, item in header["quant"].items()},
                origin=origin_in(header),
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"cannot read the graph {path}", cause=f"{type(error).__name__}: {error}"
            ) from error


def origin_in(header: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The origin that a file's header holds; None where it has none.

    Raises:
        TypeError: it is not an object.
    """
    origin = header.get("origin", header.get("spec"))  # "spec", without a family, in older files
    return None if origin is None else dict(**origin)


def _quant_from_json(item: dict[str, Any]) -> QuantParams:
    return QuantParams(
        **{**item, "scale": tuple(item["scale"]), "zero_point": tuple(item["zero_point"])}
    )


def _differences(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> Iterator[str]:
    for name, array in ours.items():
        if name not in theirs:
            yield f"'{name}' is missing"
        elif tuple(theirs[name].shape) != array.shape:
            yield f"'{name}' has shape {list(theirs[name].shape)}, not {list(array.shape)}"
    for name in theirs:
        if name not in ours:
            yield f"'{name}' has no place"
