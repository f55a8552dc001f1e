"""The end of a detector as a torch module, which computes in numpy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.networks.detection.postprocess import options_of, post_process
from edgekit.networks.graph import Graph
from edgekit.networks.nodes import Array, DetectionPostProcess


class BoxesOfAnchors(nn.Module):
    """Computes a `DetectionPostProcess`; no gradient goes through it."""

    def __init__(self, graph: Graph, node: DetectionPostProcess) -> None:
        super().__init__()
        self.anchors = np.array(graph.node_weights(node)["anchors"], np.float32)
        self.options = options_of(graph, node)

    def forward(self, offsets: Tensor, scores: Tensor) -> Tensor:
        """Boxes of photos: offsets [n, A, 4], scores [n, A, C] to [n, max_detections, 6]."""
        arrays = (x.detach().float().cpu().numpy() for x in (offsets, scores))
        rows = [
            post_process(own, scored, self.anchors, self.options).rows()
            for own, scored in zip(*arrays, strict=True)
        ]
        return torch.from_numpy(np.stack(rows)).to(offsets.device)

    def export(self) -> dict[str, Array]:
        """The weights by their short names."""
        return {"anchors": self.anchors}
