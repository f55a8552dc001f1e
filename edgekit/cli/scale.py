"""``edgekit scale --budget 200M``: ways of scaling a variant to a number of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.networks.efficientnet.scaling import Candidate


def command(
    budget: Annotated[
        str, typer.Option(help="Multiply-accumulates of one inference: 200M, 1.5G, 3e8.")
    ],
    model: Annotated[str, typer.Option(help="The variant to scale.")] = "b0",
    step: Annotated[float, typer.Option(help="Of the grid of coefficients.")] = 0.05,
    tolerance: Annotated[
        float, typer.Option(help="How far alpha x beta^2 x gamma^2 may be from 2.")
    ] = 0.1,
    limit: Annotated[int, typer.Option(help="Most candidates to show; 0 for all.")] = 20,
    json: Json = False,
) -> None:
    """Search for ways of scaling a variant to a budget of multiply-accumulates."""
    from edgekit.networks.efficientnet.find import find_spec
    from edgekit.networks.efficientnet.scaling import search
    from edgekit.system.console import Console
    from edgekit.system.sizes import parse_count

    if limit < 0:
        raise UsageError(f"--limit must not be negative, not {limit}")
    base = find_spec(model)
    macs = parse_count("--budget", budget)
    found = search(base, macs, step=step, tolerance=tolerance)
    # The paper's own is what to compare with, however far down it stands.
    shown = [c for rank, c in enumerate(found, 1) if not limit or rank <= limit or c.paper]
    if json:
        from dataclasses import asdict
        from json import dumps

        document: dict[str, Any] = {
            "schema_version": 1,
            "base": base.name,
            "budget_macs": macs,
            "candidates": [{**asdict(c), "command": build_command(base.name, c)} for c in shown],
        }
        print(dumps(document, indent=2))
        return
    print("\n".join(_lines(shown, macs)))
    console = Console()
    console.note(
        f"{len(shown)} of {len(found)} candidates, nearest to the budget first; * the paper's "
        "coefficients. Accuracy is not predicted: the paper trains each candidate and keeps the "
        "best."
    )
    console.footer([build_command(base.name, shown[0])])


def build_command(base: str, candidate: Candidate) -> str:
    """The command that builds a candidate."""
    c = candidate
    return (
        f"edgekit build {base} --phi {c.phi:g} "
        f"--alpha {c.alpha:g} --beta {c.beta:g} --gamma {c.gamma:g}"
    )


def _lines(candidates: list[Candidate], budget: int) -> list[str]:
    """One row per candidate; the first four columns are the options that build it.

    The peak is in million elements of activation, which are bytes in int8.
    """
    lines = [
        f"  {'phi':>7} {'alpha':>5} {'beta':>5} {'gamma':>5}  {'width':>5} {'depth':>5} {'px':>4}"
        f"  {'MACs (M)':>9} {'off %':>6}  {'params (M)':>10}  {'peak (M)':>8}"
    ]
    lines += [
        f"{'*' if c.paper else ' '} {c.phi:>7g} {c.alpha:>5g} {c.beta:>5g} {c.gamma:>5g}"
        f"  {c.width:>5.2f} {c.depth:>5.2f} {c.resolution:>4}"
        f"  {c.macs / 1e6:>9,.1f} {100 * (c.macs / budget - 1):>+6.1f}"
        f"  {c.parameters / 1e6:>10.2f}  {c.peak_activation / 1e6:>8.2f}"
        for c in candidates
    ]
    return lines
