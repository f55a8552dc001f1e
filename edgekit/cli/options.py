"""Options that several commands share, declared once."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TargetName = Annotated[str, typer.Option(help="Where it shall run.", metavar="NAME")]
Std = Annotated[
    str | None, typer.Option(help="A photo is fed as (pixel - mean) / std.", metavar="R,G,B")
]
