"""``edgekit models``: the variants and what they cost."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def command(
    name: Annotated[str | None, typer.Argument(help="One variant.", show_default=False)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """List the variants: parameters, multiply-accumulates, resolution."""
    from edgekit.cost import list_models

    rows = list_models(name)
    if json_output:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"{'name':<8}{'parameters':>12}{'MACs (M)':>10}{'resolution':>12}{'activation':>12}")
    for row in rows:
        print(
            f"{row['name']:<8}{row['parameters']:>12,}{row['macs'] / 1e6:>10,.0f}"
            f"{row['resolution']:>12}{row['activation']:>12}"
        )
    return 0
