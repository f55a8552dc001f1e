"""``edgekit sensitivity RUN``: which tensors of a finished build cost most in 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.calibration.sensitivity import Cost
    from edgekit.networks.graph import Graph
    from edgekit.runs import FinishedRun

SCHEMA_VERSION = 1
#: Photos per pass: every tensor of the network is kept for each of them.
BATCH = 8


def command(
    run: Annotated[Path, typer.Argument(help="The folder of a finished build.")],
    limit: Annotated[int, typer.Option(help="Rows to show; 0 for all.")] = 20,
    photos: Annotated[int, typer.Option(help="Calibration photos to measure on.")] = 32,
    top: Annotated[
        int, typer.Option(help="For how many tensors the cost is measured, not only estimated.")
    ] = 20,
    json: Json = False,
) -> None:
    """Show which tensors and layers lose most when each alone is quantized."""
    from edgekit.calibration.sensitivity import measure
    from edgekit.report.plots import cost_plot, standalone
    from edgekit.runs import open_run
    from edgekit.system.console import Console
    from edgekit.system.files import write_bytes, write_json

    for name, value, least in (("limit", limit, 0), ("photos", photos, 1), ("top", top, 0)):
        if value < least:
            raise UsageError(f"--{name} must be at least {least}, not {value}")
    console = Console()
    finished = open_run(run)
    graph, batches = read_run(finished, photos)
    with console.stage(1, 1, "sensitivity") as stage:
        costs = measure(
            graph,
            batches,
            task=finished.preprocessing.task,
            exact=top,
            advance=lambda done, total: console.progress("passes", done, total),
        )
        stage.detail = f"{len(costs)} tensors, {sum(map(len, batches))} photos"
    document = make_document(graph, batches, costs)
    write_json(run / "sensitivity.json", document)
    svg = standalone(cost_plot([(cost.name, cost.kind, cost.cost) for cost in costs[:30]]))
    write_bytes(run / "sensitivity.svg", svg.encode())
    if json:
        from json import dumps

        print(dumps(document, indent=2))
        return
    print("\n".join(_lines(document, limit or len(costs))))
    console.note(
        "KL in nats: what the tensor alone, in 8 bits, changes the answers by; ~ estimated to the "
        f"second order, else measured. All of it: {run / 'sensitivity.json'}"
    )


def read_run(finished: FinishedRun, photos: int) -> tuple[Graph, list[NDArray[np.float32]]]:
    """The quantized network of a finished build, and the first calibration photos as it sees them.

    Raises:
        UsageError: its stages are gone.
    """
    import numpy as np

    from edgekit.data.batches import eval_batches
    from edgekit.data.image_set import PhotoSet
    from edgekit.data.selection import evenly
    from edgekit.runs import CALIBRATION

    splits, graph = finished.splits(), finished.graph("quantize")
    record = finished.read("calibrate", CALIBRATION)
    mean, std = np.float32(record["input_mean"]), np.float32(record["input_std"])

    def read(chosen: PhotoSet) -> Iterator[NDArray[np.float32]]:
        for pixels, _ in eval_batches(chosen, finished.preprocessing, BATCH):
            yield ((pixels - mean) / std).astype(np.float32)

    return graph, list(read(splits.calibration.subset(evenly(len(splits.calibration), photos))))


def make_document(
    graph: Graph, batches: Sequence[NDArray[np.float32]], costs: Sequence[Cost]
) -> dict[str, Any]:
    """What ``sensitivity.json`` holds: tensors and layers, the costliest first; KL in nats."""
    from dataclasses import asdict

    from edgekit.calibration.sensitivity import PROBES, layer_costs

    return {
        "schema_version": SCHEMA_VERSION,
        "model": graph.name,
        "photos": sum(map(len, batches)),
        "estimate": f"second order, {PROBES} random directions per photo",
        "tensors": [asdict(cost) for cost in costs],
        "layers": [{"layer": name, "kl": kl} for name, kl in layer_costs(costs).items()],
    }


def _lines(document: dict[str, Any], limit: int) -> list[str]:
    tensors = document["tensors"]
    width = max([len(cost["name"]) for cost in tensors[:limit]] + [6])
    lines = [f"{'tensor':{width}}  {'kind':10}  {'operator':16}  {'SQNR dB':>7}  {'KL':>9}"]
    for cost in tensors[:limit]:
        kl = f"{cost['kl']:.6f}" if cost["kl"] is not None else f"~{cost['kl_estimate']:.6f}"
        lines.append(
            f"{cost['name']:{width}}  {cost['kind']:10}  {cost['op']:16}  {cost['sqnr_db']:>7.1f}"
            f"  {kl:>9}"
        )
    if len(tensors) > limit:
        lines.append(f"… and {len(tensors) - limit} more")
    lines += ["", f"{'layer':{width}}  {'KL, summed':>10}"]
    lines += [f"{row['layer']:{width}}  {row['kl']:>10.6f}" for row in document["layers"][:10]]
    return lines
