"""Activations that are computed twice instead of kept, for networks too large for the memory.

(Chen et al. 2016, arXiv 1604.06174: only the activations between blocks are kept.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Node
from edgekit.networks.torch_network import Network


class Recomputing(nn.Module):
    """Runs a network block by block; each block is run again when its gradient is due.

    Args:
        network: shared, not copied.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self._blocks = blocks(network.graph)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, float [n, classes], of normalised photos, float [n, 3, height, width]."""
        source = self.network.graph.input
        for nodes in self._blocks:
            x = checkpoint(
                self._run,
                source,
                nodes,
                x,
                use_reentrant=False,
                context_fn=lambda: (contextlib.nullcontext(), self._same_statistics()),
            )
            source = nodes[-1].name
        return x

    def _run(self, source: str, nodes: Sequence[Node], x: Tensor) -> Tensor:
        values = {source: x}
        for node in nodes:
            values[node.name] = self.network.run_node(node, [values[name] for name in node.inputs])
        return values[nodes[-1].name]

    @contextlib.contextmanager
    def _same_statistics(self) -> Iterator[None]:
        """Keeps the second run of a block from moving its statistics once more."""
        norms = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        counts = [norm.num_batches_tracked for norm in norms]
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        try:
            yield
        finally:
            for norm, momentum, count in zip(norms, momenta, counts, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count


def blocks(graph: Graph) -> list[list[Node]]:
    """Cuts a network where one tensor alone goes on, into parts of at least four nodes.

    Returns:
        The nodes in order; only the last one's output of a part is read after it.
    """
    last_uses = graph.last_uses()
    found: list[list[Node]] = [[]]
    live = {graph.input}
    for node in graph.nodes:
        found[-1].append(node)
        live.add(node.name)
        live -= {name for name in node.inputs if last_uses[name] == node.name}
        if live == {node.name} and len(found[-1]) >= 4:
            found.append([])
    return [nodes for nodes in found if nodes]
