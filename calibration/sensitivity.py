"""Which tensors cost most when they are quantized alone: an estimate for all, the truth for some.

The change of the answers is KL(softmax(float) ‖ softmax(quantized)), whose second-order
expansion in the change d of the logits is ½ dᵀ(diag(p) - p pᵀ)d. The matrix is A Aᵀ with
A = (I - p 1ᵀ) diag(√p), so that for signs v drawn at random the expectation of (dᵀ A v)² is the
sum sought (M. F. Hutchinson, "A stochastic estimator of the trace of the influence matrix",
Communications in Statistics 18 (1989) 1059-1076). One backward pass of A v gives its gradient at
every tensor, and the scalar product with a tensor's quantization error its share dᵀ A v. All
tensors thus cost a few passes together, where measuring one costs half a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.calibration.ranges import sqnr_db
from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.networks.edit import up_to_logits
from edgekit.networks.graph import Graph, QuantParams
from edgekit.networks.nodes import (
    Concat,
    Flatten,
    MaxPool2D,
    Node,
    Resize,
    Rows,
    Tile,
    WeightedNode,
)
from edgekit.networks.quantization import INT8_MAX, INT8_MIN, reals
from edgekit.networks.torch_network import Network, join
from edgekit.tasks.learning import Learning
from edgekit.tasks.registry import find_task

#: Told how much of how much is done.
Advance = Callable[[int, int], None]

#: Random directions per batch of photos.
PROBES = 4


@dataclass(frozen=True)
class Cost:
    """What quantizing one tensor alone costs, everything else being float.

    Attributes:
        name: of the activation, or of the kernel.
        kind: ``activation`` or ``weight``.
        op: the operator that writes the activation or owns the kernel.
        layer: the weighted node that it belongs to, with the activation written out after it.
        sqnr_db: signal to quantization noise of the activation; for a kernel, of its output.
        kl_estimate: expected KL of the answers from those of the float network, nats; second
            order, from random directions.
        kl: the same, measured; None where only the estimate was made.
    """

    name: str
    kind: str
    op: str
    layer: str
    sqnr_db: float
    kl_estimate: float
    kl: float | None = None

    @property
    def cost(self) -> float:
        """The measured KL, or the estimate."""
        return self.kl_estimate if self.kl is None else self.kl


def measure(
    graph: Graph,
    batches: Sequence[NDArray[np.float32]],
    *,
    task: str = DEFAULT_TASK,
    exact: int = 20,
    seed: int = 0,
    advance: Advance | None = None,
) -> list[Cost]:
    """Measures every activation and every kernel of a quantized network.

    Args:
        graph: with float weights, and `QuantParams` on every tensor and weight. What chooses
            classes from its logits does not count.
        batches: network inputs, float32 NHWC; a batch of 8 at 224 px takes about 2 GB.
        task: what the network is for.
        exact: for how many tensors of the highest estimate the cost is measured too.
        seed: of the random directions.
        advance: told how many batches of how many are done; both passes count.

    Returns:
        The costliest first.
    """
    probe = _Probe(up_to_logits(graph), find_task(task).learning, seed)
    total = 2 * len(batches) if exact else len(batches)
    for done, batch in enumerate(batches, 1):
        probe.estimate(_photos(batch))
        if advance:
            advance(done, total)
    costs = sorted(probe.costs(), key=lambda cost: -cost.kl_estimate)
    chosen = costs[:exact]
    sums = np.zeros(len(chosen))
    if chosen:
        for done, batch in enumerate(batches, len(batches) + 1):
            sums += probe.measure(_photos(batch), chosen)
            if advance:
                advance(done, total)
    photos = sum(map(len, batches))
    measured = [
        replace(cost, kl=kl / photos) for cost, kl in zip(chosen, sums.tolist(), strict=True)
    ]
    return sorted(measured + costs[len(chosen) :], key=lambda cost: -cost.cost)


def layer_costs(costs: Iterable[Cost]) -> dict[str, float]:
    """Sums the tensors' KL by layer, the costliest first; costs this small nearly add up."""
    layers: dict[str, float] = {}
    for cost in costs:
        layers[cost.layer] = layers.get(cost.layer, 0.0) + cost.cost
    return dict(sorted(layers.items(), key=lambda item: -item[1]))


def _photos(batch: NDArray[np.float32]) -> Tensor:
    photos = torch.from_numpy(batch).permute(0, 3, 1, 2)
    return photos.contiguous(memory_format=torch.channels_last)


@dataclass
class _Sums:
    """Over the photos seen: signal and noise power, and the squared projections."""

    signal: float = 0.0
    noise: float = 0.0
    projected: float = 0.0


class _Probe(Network):
    """The float network beside one with rounded weights."""

    def __init__(self, graph: Graph, learning: Learning, seed: int) -> None:
        super().__init__(graph)
        self.learning = learning
        rounded = {name: reals(array, graph.quant[name]) for name, array in graph.weights.items()}
        self.rounded = Network(replace(graph, weights=rounded))
        self.eval().requires_grad_(False)
        self.quant = graph.quant
        self.generator = torch.Generator().manual_seed(seed)
        self.sums: dict[str, _Sums] = {}
        self.photos = 0
        self.layers_of = _layers(graph)

    def costs(self) -> list[Cost]:
        """What `estimate` found so far."""
        ops = {node.name: type(node).__name__ for node in self.graph.nodes}
        found = []
        for name, sums in self.sums.items():
            kind, _, writer = name.partition(" ")
            found.append(
                Cost(
                    name=writer + "/kernel" * (kind == "weight"),
                    kind=kind,
                    op=ops.get(writer, "Input"),
                    layer=self.layers_of.get(writer, writer),
                    sqnr_db=sqnr_db(sums.signal, sums.noise),
                    kl_estimate=0.5 * sums.projected / (PROBES * self.photos),
                )
            )
        return found

    def estimate(self, x: Tensor) -> None:
        """Adds a batch, float [n, 3, height, width], to every tensor's sums."""
        self.photos += len(x)
        graph = self.graph
        values = {graph.input: x.requires_grad_()}
        self._watch(f"activation {graph.input}", x, self._error(graph.input, x))
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            values[node.name] = y = self.run_node(node, inputs)
            if isinstance(node, WeightedNode):
                with torch.no_grad():
                    error = self.rounded.run_node(node, inputs) - y
                self._watch(f"weight {node.name}", y, error)
            if not _is_on_grid(graph, node):
                self._watch(f"activation {node.name}", y, self._error(node.name, y))
        logits = join([values[name] for name in graph.outputs])
        values.clear()
        for left in reversed(range(PROBES)):
            direction = self.learning.direction(logits.detach(), self.generator)
            torch.autograd.backward(logits, direction, retain_graph=left > 0)

    def _watch(self, name: str, y: Tensor, error: Tensor) -> None:
        """Projects a tensor's error on each gradient that a backward pass brings to it."""
        sums = self.sums.setdefault(name, _Sums())
        sums.signal += float(y.detach().square().sum(dtype=torch.float64))
        sums.noise += float(error.square().sum(dtype=torch.float64))

        def project(gradient: Tensor) -> None:
            shares = (gradient * error).flatten(1).sum(1, dtype=torch.float64)
            sums.projected += float(shares.square().sum())

        y.register_hook(project)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def measure(self, x: Tensor, costs: Sequence[Cost]) -> NDArray[np.float64]:
        """KL that each tensor alone causes, summed over a batch's photos, float64 [tensors]."""
        values = {self.graph.input: x}
        for node in self.graph.nodes:
            values[node.name] = self.run_node(node, [values[name] for name in node.inputs])
        found = []
        for cost in costs:
            name = cost.name.removesuffix("/kernel") if cost.kind == "weight" else cost.name
            if cost.kind == "weight":
                node = self.graph.node(name)
                changed = self.rounded.run_node(node, [values[name] for name in node.inputs])
            else:
                changed = values[name] + self._error(name, values[name])
            outputs = self._resume(values, name, changed)
            wanted = join([values[name] for name in self.graph.outputs])
            found.append(self.learning.divergence(wanted, outputs))
        return np.array(found)

    def _resume(self, values: dict[str, Tensor], name: str, changed: Tensor) -> Tensor:
        """The outputs when one tensor is another; only what depends on it is computed again."""
        fresh = {name: changed}
        for node in self.graph.nodes:
            if node.name != name and any(source in fresh for source in node.inputs):
                inputs = [fresh.get(source, values[source]) for source in node.inputs]
                fresh[node.name] = self.run_node(node, inputs)
                for source in node.inputs:
                    if self._last_uses[source] == node.name:
                        fresh.pop(source, None)
        return join([fresh.get(name, values[name]) for name in self.graph.outputs])

    @torch.no_grad()
    def _error(self, name: str, y: Tensor) -> Tensor:
        params: QuantParams = self.quant[name]
        scale, zero_point = params.scale[0], params.zero_point[0]
        steps = (y.detach() / scale).round_()
        return steps.clamp_(INT8_MIN - zero_point, INT8_MAX - zero_point).mul_(scale).sub_(y)


def _is_on_grid(graph: Graph, node: Node) -> bool:
    """Whether a node gives what it was given, at most elsewhere: its values are rounded already."""
    if isinstance(node, Resize):
        return node.method == "nearest"
    shared = all(graph.quant[name] == graph.quant[node.name] for name in node.inputs)
    keeps = Flatten | MaxPool2D | Rows | Tile
    return isinstance(node, keeps) or (isinstance(node, Concat) and shared)


def _layers(graph: Graph) -> dict[str, str]:
    """Maps each node to its layer: swish and sigmoid belong to what they are applied to."""
    layers: dict[str, str] = {}
    for node in graph.nodes:
        own = [layers[name] for name in node.inputs if node.name.startswith(f"{name}_")]
        layers[node.name] = own[0] if own else node.name
    return layers
