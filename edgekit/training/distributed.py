"""One training run in several processes: the first one leads, and the others do as it says.

Only photos must lie at the same path on every machine; the network and all else is sent.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgekit.data.preprocessing import Preprocessing
from edgekit.data.splits import photos_from_dict
from edgekit.networks.graph import Graph
from edgekit.training.engine import Engine
from edgekit.training.epochs import Epoch
from edgekit.training.job import TrainingJob
from edgekit.training.recipe_files import KINDS
from edgekit.training.trainer import Advance, Trainer
from edgekit.training.world import World


def lead(
    job: TrainingJob,
    folder: Path,
    engine: Engine,
    *,
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[Graph, list[Epoch]]:
    """Trains, together with all processes that `follow`; returns what `Trainer.run` does."""
    if not engine.world.alone:
        _send(job, engine.world)
    return Trainer(job, folder, engine=engine, advance=advance, warn=warn).run()


def dismiss(world: World) -> None:
    """Lets the other processes end."""
    world.send(b"")


def follow(engine: Engine, warn: Callable[[str], None] | None = None) -> None:
    """Trains whatever the first process leads, until it dismisses this one."""
    number = 1
    while header := engine.world.receive(number):
        graph, targets = (engine.world.receive(number + i) for i in (1, 2))
        number += 3
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            job = _unpack(header, graph, targets, Path(folder))
            Trainer(job, Path(folder), engine=engine, warn=warn).run()


def _send(job: TrainingJob, world: World) -> None:
    kind = next(name for name, kind in KINDS.items() if kind is type(job.recipe))
    header = {
        "train": job.train.to_dict(),
        "val": job.val.to_dict() if job.val else None,
        "preprocessing": job.preprocessing.to_dict(),
        "kind": kind,
        "recipe": asdict(job.recipe),
    }
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        job.graph.save(Path(folder) / "graph")
        graph = (Path(folder) / "graph").read_bytes()
    targets = io.BytesIO()
    if job.targets is not None:
        np.save(targets, job.targets, allow_pickle=False)
    for contents in (json.dumps(header).encode(), graph, targets.getvalue()):
        world.send(contents)


def _unpack(header: bytes, graph: bytes, targets: bytes, folder: Path) -> TrainingJob:
    values = json.loads(header)
    (folder / "graph").write_bytes(graph)
    return TrainingJob(
        graph=Graph.load(folder / "graph"),
        train=photos_from_dict(values["train"]),
        val=photos_from_dict(values["val"]) if values["val"] else None,
        preprocessing=Preprocessing.from_dict(values["preprocessing"]),
        recipe=KINDS[values["kind"]](**values["recipe"]),
        targets=np.load(io.BytesIO(targets), allow_pickle=False) if targets else None,
    )
