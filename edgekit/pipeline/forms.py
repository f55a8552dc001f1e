"""The stages of a target's own forms: each is written, evaluated and timed like TFLite's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.pipeline.post_training import Folders
from edgekit.pipeline.stages import convert as steps
from edgekit.pipeline.stages import evaluate as evaluation
from edgekit.system.host import installed
from edgekit.targets.files import Form

Add = Callable[..., Path]


def lay_out(
    add: Add,
    forms: Sequence[Form],
    folders: Folders,
    *,
    trained: str,
    finished: str,
    head: str,
    io: str,
    threads: int,
    seed: int,
) -> None:
    """Adds the stages of every form to a plan.

    Args:
        add: takes a role, a name, the work, the roles that it needs, and what it reads.
        forms: in the order of the report.
        folders: of the stages that they read.
        trained: role of the stage with the float network.
        finished: role of the stage with the quantized network.
        head: what the files end with.
        io: type of their inputs.
        threads: of their runtimes.
        seed: of the half of the validation photos that may decide something.
    """
    for form in forms:
        version = installed(form.package)
        write = partial(
            steps.convert_form,
            form=form,
            data=folders.data,
            weights=folders.weights,
            model=folders.model,
            quantized=folders.quantized,
            head=head,
            io=io,
            seed=seed,
        )
        needs = (finished if form.quantized else trained,)
        reads = {"head": head, "io": io, "writer": version, "record": 2, **dict(form.reads)}
        converted = add(form.row, f"convert {form.row}", write, needs, **reads)
        on_file: dict[str, Any] = {
            "data": folders.data,
            "weights": folders.weights,
            "converted": converted,
            "file": form.file,
            "threads": threads,
        }
        evaluate = partial(evaluation.evaluate_file, **on_file, model=folders.model, head=head)
        add(f"evaluate {form.row}", f"evaluate {form.row}", evaluate, (form.row,), runtime=version)
        bench = partial(evaluation.bench, **on_file)
        name = f"bench {form.row}"
        add(name, name, bench, (form.row,), runtime=version, threads=threads)
