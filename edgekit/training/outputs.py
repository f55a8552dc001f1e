"""What a finished training leaves in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.system.files import write_json

if TYPE_CHECKING:
    from edgekit.networks.graph import Graph
    from edgekit.tasks.task import Metric
    from edgekit.training.epochs import Epoch

#: The trained network, its epochs, and a table of them, which is there from the first epoch on.
GRAPH, HISTORY, TABLE = "model.graph", "history.json", "history.csv"


def keep(folder: Path, graph: Graph, history: Sequence[Epoch], metric: Metric) -> None:
    """Writes a trained network and its epochs; its checkpoints are needed no more."""
    from edgekit.training.checkpoint import Checkpoints

    graph.save(folder / GRAPH)
    write_json(folder / HISTORY, [epoch.to_record(metric) for epoch in history])
    Checkpoints(folder).remove()
