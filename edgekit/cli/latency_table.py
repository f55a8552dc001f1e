"""``edgekit latency-table``: how long every block of a space takes on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import Json

if TYPE_CHECKING:
    from edgekit.search.tables.table import LatencyTable

OUT = Path("latency.json")


def command(
    device: Annotated[
        str | None,
        typer.Option(help="Where to measure. [this machine]", metavar="URL", show_default=False),
    ] = None,
    space: Annotated[str, typer.Option(help="As for search: mbconv or size.")] = "mbconv",
    model: Annotated[str, typer.Option(help="What the space lies around.")] = "b0",
    resolution: Annotated[
        int | None,
        typer.Option(help="Side of the input in pixels. [the model's]", show_default=False),
    ] = None,
    classes: Annotated[int, typer.Option(help="Logits of the networks.")] = 10,
    latency: Annotated[
        float | None,
        typer.Option(
            help="Lay the space around the model scaled to so many milliseconds, as a search for "
            "them does.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the kernels.")] = 1,
    rounds: Annotated[int, typer.Option(help="Of each of the three passes.")] = 8,
    networks: Annotated[int, typer.Option(help="Measured whole, to check the sums.")] = 16,
    python: Annotated[
        str | None, typer.Option(help="The Python to use there.", show_default=False)
    ] = None,
    out: Annotated[
        Path, typer.Option(help="File of the table; one that is there is completed.")
    ] = OUT,
    json: Json = False,
) -> None:
    """Measure every block of a space on a device, so that networks need not be.

    A network's latency is the sum of its blocks' and a line through a few networks that are
    measured whole; others say how near that comes. `edgekit search --latency MS --table FILE` uses
    the table. One that was stopped goes on with the same command.
    """
    from edgekit.search.study.tabulate import Asked, make_table
    from edgekit.system.console import Console
    from edgekit.targets.measure.rounds import Rounds

    console = Console()
    asked = Asked(
        space,
        model,
        resolution,
        classes,
        latency,
        networks,
        Rounds(threads, rounds),
        device,
        python,
    )
    table = make_table(asked, out, console=console)
    if json:
        from json import dumps

        document = table.to_dict()
        document["blocks"] = {key: entry.latency for key, entry in table.entries.items()}
        print(dumps(document, indent=2, allow_nan=False))
        return
    print("\n".join(_lines(table)))
    if table.check is not None and not table.check.holds:
        console.warn("the times of blocks do not add up here: let a search measure whole networks")
        return
    words = ["edgekit search --latency MS --table", str(out)]
    console.footer([" ".join([*words, *(["--device", device] if device else [])])])


def _lines(table: LatencyTable) -> list[str]:
    """What the table is of, and how near it comes to networks."""
    from edgekit.search.tables.cut import WHOLE

    blocks = sum(not key.startswith(WHOLE) for key in table.entries)
    lines = [f"{blocks:,} blocks on {table.identity.words}"]
    check = table.check
    if check is None:
        return lines
    low, high = (value / 1000 for value in check.range_us)
    title = f"{check.n} networks of {low:.3g} to {high:.3g} ms"
    lines.append(f"{title:<44} {'error %':>8} {'bias %':>8} {'Kendall tau':>12}")
    through = f"a line through {check.fitted} others"
    for name, errors in (
        (f"sum of blocks, {through}", check.table),
        ("sum of blocks alone", check.plain),
        (f"multiply-accumulates, {through}", check.macs),
    ):
        lines.append(
            f"{name:<44} {100 * errors.mape:>8.1f} {100 * errors.bias:>+8.1f} "
            f"{errors.kendall_tau:>12.3f}"
        )
    return lines
