"""Cross-layer equalization: the same network, with channels that share one 8-bit range better.

An activation has one scale for all of its channels, so the channel with the widest range sets
the step for every other. A positive factor per channel commutes with ReLU, with sums, means and
zero padding: whatever writes a tensor can be divided by it, and whatever reads the tensor
multiplied, without any change to what the network computes (Nagel et al. 2019, arXiv 1906.04721,
section 4.1). Kernels have a scale per output channel here, so the writers pay nothing; the readers
pay with a wider spread within each output channel, which the choice of factors weighs against the
activations' (Xiao et al. 2022, SmoothQuant, arXiv 2211.10438, equation 4).

What no factor passes: sigmoid, swish, and the network's input and output. A product lets factors
through one operand and holds the other, the gate, where it is. So a swish network keeps only its
residual chains: the outputs of projections and the sums of them. Nor is anything changed that is
concatenated.

ReLU6 clips at 6, and a factor would move the clip, so that groups with a ReLU6 are left alone: the
network is the same in reals for every input. With a ``margin`` they take part, as far as the
calibration photos allow. A channel that reached 6 keeps the factor 1. One that stayed below may be
scaled up, at most until its largest value stands at ``6 * (1 - margin)``; it is then clipped at
``largest / (1 - margin)`` or higher instead of at 6. That is **not exact**: it shows on photos that
take the channel further than every calibration photo did, by more than the margin.

Measured, mean KL divergence from fp32 on 200 photos that did not calibrate, in simulation. Without
a margin, no clear gain: the channels of residual chains are fairly even already. With one, Lite0
loses.

                                        ranges (mse)    and corrected biases
EfficientNetV2-B0, 5 groups      as is     0.0246         0.0076
                             alpha 1/2     0.0229         0.0073
                             alpha 3/4     0.0264         0.0077
Lite0 on flowers, 7 groups       as is     0.00045        0.00034
                             alpha 1/2     0.00043        0.00040
                             alpha 3/4     0.00042        0.00033
  margin 0.1, 40 groups      alpha 1/2     0.00148        0.00071
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.errors import EdgekitError, UsageError
from edgekit.networks import nodes
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import (
    WITHOUT_KERNEL,
    Array,
    Node,
    WeightedNode,
    activation_of,
    row_of,
)
from edgekit.networks.quantization import Reals
from edgekit.networks.torch_device import place
from edgekit.networks.torch_network import Network

#: Weight of the activations' spread against that of the readers' kernels. With corrected biases,
#: 3/4 diverged less than 1/2 (and than 1/4 on V2-B0) on the calibration photos of both networks
#: above; other photos did not confirm an order.
ALPHA = 0.75
#: No factor is larger than this, nor smaller than its inverse: a channel that hardly lives must
#: not make kernels of extreme values.
BOUND = 64.0

CLIP = 6.0
#: Activations that a positive factor passes; ReLU6 only with care.
POSITIVELY_HOMOGENEOUS = frozenset({"linear", "relu"})
CLIPPED = "relu6"

#: The tensors that a node ties to each other, and those that it lets no factor through.
Passage = tuple[tuple[str, ...], set[str]]


@dataclass(frozen=True)
class Group:
    """Tensors whose channels must share their factors.

    Attributes:
        tensors: in the order in which they are written.
        writers: weighted nodes that are divided by the factors.
        readers: weighted nodes that are multiplied by them.
        clipped: those of the tensors that a ReLU6 gives.
    """

    tensors: tuple[str, ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    clipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scaling:
    """What is done to a group.

    Attributes:
        group: the tensors.
        factors: what each channel is divided by, float64 [channels].
    """

    group: Group
    factors: Reals = field(compare=False, repr=False)

    def to_dict(self) -> dict[str, object]:
        """A record for the report: the group, the range of its factors, and how many act."""
        return {
            "tensors": list(self.group.tensors),
            "smallest": float(self.factors.min()),
            "largest": float(self.factors.max()),
            "channels": len(self.factors),
            "changed": int((self.factors != 1).sum()),
        }


def groups(graph: Graph) -> list[Group]:
    """Finds all groups of a network whose channels factors may scale.

    Args:
        graph: prepared (`edgekit.networks.passes.prepare`).

    Raises:
        UsageError: a batch normalization is not folded.
    """
    tied = {name: {name} for name in (graph.input, *(node.name for node in graph.nodes))}
    held = {graph.input, *graph.outputs}
    for node in graph.nodes:
        ties, holds = row_of(PASSAGES, node, "equalization")(node)
        merged = set().union(*(tied[name] for name in ties))
        tied |= dict.fromkeys(merged, merged)
        held |= holds
    layers = [node for node in graph.nodes if isinstance(node, WeightedNode)]
    found: dict[int, Group] = {}
    for node in graph.nodes:
        members = tied[node.name]
        if id(members) in found or members & held:
            continue
        found[id(members)] = Group(
            tensors=tuple(other.name for other in graph.nodes if other.name in members),
            writers=tuple(layer.name for layer in layers if layer.name in members),
            readers=tuple(layer.name for layer in layers if layer.inputs[0] in members),
            clipped=tuple(
                other.name for other in graph.nodes if other.name in members and _clips(other)
            ),
        )
    return [group for group in found.values() if group.readers]


def _clips(node: Node) -> bool:
    return activation_of(node) == CLIPPED


def _through_layer(node: WeightedNode) -> Passage:
    if node.batch_norm is not None:
        raise UsageError(
            f"'{node.name}' has a batch normalization of its own",
            hint="edgekit.networks.passes.prepare folds it into the kernel",
        )
    kind = activation_of(node)
    return (), set() if kind in {*POSITIVELY_HOMOGENEOUS, CLIPPED} else {node.name}


def _through_activation(node: nodes.Activation) -> Passage:
    if node.kind in POSITIVELY_HOMOGENEOUS:
        return _through_all(node)
    return (), {node.name, *node.inputs}


def _through_all(node: Node) -> Passage:
    return (node.name, *node.inputs), set()


def _through_sum(node: nodes.Add) -> Passage:
    ties, _ = _through_all(node)
    return ties, set() if node.activation in {*POSITIVELY_HOMOGENEOUS, CLIPPED} else set(ties)


def _through_product(node: nodes.Mul) -> Passage:
    x, gate = node.inputs
    return (node.name, x), {gate}


def _through_none(node: Node) -> Passage:
    return (), {node.name, *node.inputs}


PASSAGES: dict[type[Node], Callable[[Any], Passage]] = {
    **dict.fromkeys((nodes.Conv2D, nodes.DepthwiseConv2D, nodes.FullyConnected), _through_layer),
    nodes.Activation: _through_activation,
    nodes.Mul: _through_product,
    nodes.Add: _through_sum,
    **dict.fromkeys((nodes.Mean, nodes.AveragePool2D, nodes.MaxPool2D), _through_all),
    **dict.fromkeys((nodes.Flatten, nodes.Resize, nodes.Tile), _through_all),
    # Behind these the channels have other numbers; a factor would change which one is highest.
    **dict.fromkeys((nodes.Concat, nodes.Rows, nodes.ArgMax), _through_none),
}


class _Extremes:
    """A `Tap` that keeps the largest magnitude of each channel of some tensors."""

    def __init__(self, tensors: Iterable[str]) -> None:
        self.wanted = frozenset(tensors)
        self.found: dict[str, Tensor] = {}

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        if name in self.wanted:
            # Channels are the second axis of maps and of vectors alike.
            largest = tensor.abs().amax([axis for axis in range(tensor.dim()) if axis != 1])
            if not bool(largest.isfinite().all()):
                raise EdgekitError(f"the tensor '{name}' holds NaN or infinity")
            self.found[name] = torch.maximum(self.found.get(name, largest), largest)
        return tensor


def channel_extremes(
    graph: Graph,
    batches: Iterable[NDArray[np.float32]],
    tensors: Iterable[str],
    device: str = "cpu",
) -> dict[str, NDArray[np.float32]]:
    """The largest magnitude that each channel of some tensors reaches on photos.

    Args:
        graph: a float network.
        batches: network inputs, float32 NHWC.
        tensors: names.
        device: torch device.

    Returns:
        By tensor, float32 [channels].

    Raises:
        EdgekitError: a tensor holds NaN or infinity.
        UsageError: no photos, or no such tensor.
    """
    tap = _Extremes(tensors)
    network = place(Network(graph), device).eval()
    with torch.inference_mode():
        for batch in batches:
            network.run(torch.from_numpy(batch).permute(0, 3, 1, 2).to(device), tap)
    if missing := tap.wanted - tap.found.keys():
        raise UsageError(f"no values of '{min(missing)}'", cause="no photos, or no such tensor")
    return {name: largest.cpu().numpy() for name, largest in tap.found.items()}


def choose_factors(
    graph: Graph,
    extremes: Mapping[str, Array],
    *,
    alpha: float = ALPHA,
    margin: float | None = None,
) -> list[Scaling]:
    """Chooses the factors of every group.

    A channel is divided by ``range^alpha / weight^(1 - alpha)``, both relative to the other
    channels (SmoothQuant, equation 4; with ``alpha`` 1/2 of the form of Nagel et al., section
    4.1). The range is that in whichever tensor of the group the channel takes most of. The weight
    is the channel's largest in any reader, over the largest that shares its scale. Depthwise
    readers have a scale for each channel, so that among them alone the weight does not count.

    Args:
        graph: prepared.
        extremes: of every tensor of `groups`, from `channel_extremes`.
        alpha: 0 … 1: how much the activations count against the readers' kernels.
        margin: room below the clip of a ReLU6, 0 … 1; None leaves groups with one alone.

    Returns:
        Factors between 1 / `BOUND` and `BOUND`; a channel without values has 1. Where no ReLU6
        clips, their geometric mean is 1 before the bounds.

    Raises:
        UsageError: alpha or margin are out of range, or extremes of a tensor are missing.
    """
    if not 0 <= alpha <= 1 or (margin is not None and not 0 <= margin < 1):
        raise UsageError(f"alpha {alpha} or margin {margin} is not between 0 and 1")
    chosen = [group for group in groups(graph) if margin is not None or not group.clipped]
    if missing := {name for group in chosen for name in group.tensors} - extremes.keys():
        raise UsageError(f"no extremes of '{min(missing)}'", hint="take channel_extremes of them")
    return [Scaling(group, _factors(graph, group, extremes, alpha, margin)) for group in chosen]


def _factors(
    graph: Graph,
    group: Group,
    extremes: Mapping[str, Array],
    alpha: float,
    margin: float | None,
) -> Reals:
    ranges = _envelope([extremes[name] for name in group.tensors])
    weights = _reader_weights(graph, group)
    if weights is None:
        weights, alpha = np.ones_like(ranges), 1.0
    live = (ranges > 0) & (weights > 0)
    if not live.any():
        return np.ones_like(ranges)
    logs = np.zeros_like(ranges)
    logs[live] = alpha * np.log(ranges[live]) - (1 - alpha) * np.log(weights[live])
    smallest, largest, center = np.full_like(ranges, 1 / BOUND), BOUND, logs[live].mean()
    if group.clipped and margin is not None:
        reached = np.max([extremes[name] for name in group.clipped], 0) / (CLIP * (1 - margin))
        smallest, largest = np.maximum(reached, smallest), 1.0
        # Channels that must stay as they are set the measure for those that may not.
        fixed = live & (reached >= 1)
        center = logs[fixed].mean() if fixed.any() else logs[live].max()
    logs[weights == 0] = np.inf  # nobody reads it: the smaller, the better
    factors: Reals = np.minimum(np.maximum(np.exp(logs - center), smallest), largest)
    return np.where(ranges > 0, factors, 1.0)


def _envelope(ranges: Sequence[Array]) -> Reals:
    """Each channel's range over the largest of its tensor, where that is most; [channels]."""
    largest = [max(float(one.max()), np.finfo(np.float64).tiny) for one in ranges]
    envelope: Reals = np.max(
        [one.astype(np.float64) / most for one, most in zip(ranges, largest, strict=True)], 0
    )
    return envelope


#: A kernel's largest magnitudes: by channel in and out, and of the weights that share a scale.
READERS: dict[type[Node], Callable[[Reals], tuple[Reals, Reals]]] = {
    nodes.Conv2D: lambda kernel: (kernel.max((0, 1)), kernel.max((0, 1, 2))),
    nodes.FullyConnected: lambda kernel: (kernel, kernel.max()),
}
UNSUPPORTED = WITHOUT_KERNEL | {
    nodes.DepthwiseConv2D: "each of its channels has a scale of its own"
}


def _reader_weights(graph: Graph, group: Group) -> Reals | None:
    """Each channel's largest weight in any reader, relative to what shares its scale; [channels].

    None where all readers are depthwise.
    """
    found = []
    for name in group.readers:
        if row := READERS.get(type(graph.node(name))):
            kernel = np.abs(graph.weights[f"{name}/kernel"]).astype(np.float64)
            by_pair, shared = row(kernel)
            found.append((by_pair / np.maximum(shared, np.finfo(np.float64).tiny)).max(1))
    return np.max(found, 0) if found else None


def rescale(graph: Graph, scalings: Iterable[Scaling]) -> Graph:
    """Applies factors: writers are divided by them, readers multiplied.

    Computed in float64 and rounded once, so that float32 rounding is all that changes.
    """
    changed = {name: array.astype(np.float64) for name, array in graph.weights.items()}
    for scaling in scalings:
        for name in scaling.group.writers:
            changed[f"{name}/kernel"] /= scaling.factors  # output channels are the last axis
            changed[f"{name}/bias"] /= scaling.factors
        for name in scaling.group.readers:
            depthwise = isinstance(graph.node(name), nodes.DepthwiseConv2D)
            changed[f"{name}/kernel"] *= scaling.factors if depthwise else scaling.factors[:, None]
    return graph.with_weights(changed)


def equalize(
    graph: Graph,
    extremes: Mapping[str, Array],
    *,
    alpha: float = ALPHA,
    margin: float | None = None,
) -> Graph:
    """Equalizes a network: `choose_factors`, then `rescale`.

    Ranges change: calibrate again afterwards.

    Args:
        graph: prepared, in float.
        extremes: of every tensor of `groups`, from `channel_extremes`.
        alpha: as for `choose_factors`.
        margin: as for `choose_factors`.

    Returns:
        The same network with other weights.
    """
    return rescale(graph, choose_factors(graph, extremes, alpha=alpha, margin=margin))
