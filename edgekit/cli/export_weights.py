"""``edgekit weights export RUN --to timm``: a trained network for the library that it is from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import Json


def export_weights(
    run: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    to: Annotated[
        str,
        typer.Option(
            help="timm, torchvision, keras or edgekit; onnx or savedmodel.", metavar="NAME"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder. [RUN/to-NAME]", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Write a trained network's float weights as another library loads them.

    Names, layouts and epsilons are that library's: it gives the same logits. A file of ONNX or a
    SavedModel of TensorFlow is the whole network, of any task.
    """
    from edgekit.converters.weights.export import export_weights as write
    from edgekit.errors import UsageError
    from edgekit.runs import open_run
    from edgekit.system.console import Console

    found = open_run(run)
    folder = out or run / f"to-{to}"
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something already", hint="-o FOLDER")
    done = write(found.trained(), found.preprocessing, to, folder)
    if json:
        from dataclasses import asdict
        from json import dumps

        document = {"schema_version": 1, **asdict(done), "files": [str(one) for one in done.files]}
        print(dumps(document, indent=2))
        return
    print("\n".join([*map(str, done.files), f"load it: {done.loading}"]))
    for note in done.notes:
        Console().note(note)
