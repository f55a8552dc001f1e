"""``edgekit search --macs 20M``: the network with the best accuracy for what it may cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import Json
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgekit.search.study.costing import Place
    from edgekit.search.study.objective import Objective
    from edgekit.search.study.results import Results
    from edgekit.search.study.settings import Settings

OUT = Path("search")


def command(
    space: Annotated[
        str,
        typer.Option(
            help="mbconv: kernels, expansions, squeeze-excites, shortcuts, fused blocks, widths "
            "and depths of each stage; size: width, depth and resolution of the whole; scaling: "
            "the paper's grid of alpha, beta and gamma, each scaled to --macs."
        ),
    ] = "mbconv",
    model: Annotated[str, typer.Option(help="What the space lies around.")] = "b0",
    data: Annotated[
        str | None, typer.Option(help="Photos, as for build. [built-in shapes]", show_default=False)
    ] = None,
    val: Annotated[
        str | None, typer.Option(help="Validation photos, as for build.", show_default=False)
    ] = None,
    macs: Annotated[
        str | None,
        typer.Option(help="Multiply-accumulates that are wanted: 20M.", show_default=False),
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(help="Or parameters: 1.5M.", show_default=False)
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(
            help="Or elements of activation alive at once: 200K.",
            show_default=False,
        ),
    ] = None,
    latency: Annotated[
        float | None,
        typer.Option(help="Or milliseconds of an inference in int8.", show_default=False),
    ] = None,
    target: Annotated[
        str, typer.Option(help="Whose estimate or runtime tells the latency.", metavar="NAME")
    ] = "tflite",
    device: Annotated[
        str | None,
        typer.Option(help="Measure the latency there.", metavar="URL", show_default=False),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Tell the latency by a table of `edgekit latency-table`.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    sram: Annotated[
        str | None,
        typer.Option(help="Working memory it may need there: 512K.", show_default=False),
    ] = None,
    flash: Annotated[
        str | None,
        typer.Option(help="And memory that is only read: 2M.", show_default=False),
    ] = None,
    exponent: Annotated[
        str,
        typer.Option(
            help="w of accuracy x (cost / wanted) ^ w; two: up to what is wanted, and above it.",
            metavar="W[,W]",
        ),
    ] = "-0.07",
    resolution: Annotated[
        int | None, typer.Option(help="Side of the input in pixels. [as for build]")
    ] = None,
    trials: Annotated[int, typer.Option(help="Networks that are trained.")] = 30,
    epochs: Annotated[
        int | None, typer.Option(help="Of each. [a third of the recipe's]", show_default=False)
    ] = None,
    short_resolution: Annotated[
        int | None,
        typer.Option(help="Side of the input in these. [the networks']", show_default=False),
    ] = None,
    finalists: Annotated[
        int, typer.Option(help="The best of them, trained again for longer; 0 for none.")
    ] = 10,
    final_epochs: Annotated[
        int | None, typer.Option(help="Of these. [the recipe's]", show_default=False)
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(
            help="Networks of others to scale to the same cost and train as long: "
            "lite0,mobilenet-v2.",
            metavar="NAMES",
            show_default=False,
        ),
    ] = None,
    sampler: Annotated[str, typer.Option(help="Who proposes: tpe, nsga2 or random.")] = "tpe",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Of this process. [all cores]")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the search; one that is there goes on.", metavar="DIR")
    ] = OUT,
    join: Annotated[
        Path | None,
        typer.Option(
            help="Take trials of this search, on this machine or another.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Search for the network with the best accuracy at a cost.

    Networks of a space around a variant are proposed, trained for a short time, and the best of
    them for longer. `best.toml` in the folder is a model like any other: `edgekit build
    DIR/best.toml`. A search that was stopped goes on with the same command.
    """
    from edgekit.search.study.costing import Place
    from edgekit.search.study.run import Wanted, search
    from edgekit.search.study.run import join as take_part
    from edgekit.search.study.settings import SAMPLERS, Settings
    from edgekit.system.console import Console

    console = Console()
    if join is not None:
        results, folder = take_part(join, console=console, threads=threads), join
    else:
        if sampler not in SAMPLERS:
            raise UsageError(f"unknown sampler '{sampler}'", hint=f"one of {', '.join(SAMPLERS)}")
        wanted = Wanted(
            model,
            space,
            _objective(
                {"macs": macs, "parameters": parameters, "activations": activations},
                latency,
                exponent,
            ),
            trials=trials,
            epochs=epochs,
            finalists=finalists,
            final_epochs=final_epochs,
            short_resolution=short_resolution,
            beside=tuple(filter(None, (beside or "").split(","))),
            sampler=sampler,
            seed=seed,
            options={"data": data, "val": val, "resolution": resolution},
            place=_place(
                Place(
                    target,
                    device,
                    _text(table),
                    _bytes("--sram", sram),
                    _bytes("--flash", flash),
                ),
                latency,
            ),
        )
        results, folder = search(wanted, out, console=console, threads=threads), out
    settings = Settings.load(folder)
    if json:
        from json import dumps

        from edgekit.search.study.results import to_dict

        print(dumps(to_dict(results, settings), indent=2, allow_nan=False))
        return
    print("\n".join(_lines(results, settings)))
    if results.best is not None:
        from edgekit.networks.efficientnet.find import find_spec

        words = ["edgekit build", str(folder / "best.toml")]
        built_in = ["--resolution", str(find_spec(words[1]).resolution)]
        words += ["--data", data] if data else built_in
        console.footer([" ".join(words)])


def _text(path: Path | None) -> str | None:
    """A path as processes in other folders find it."""
    return None if path is None else str(path.absolute())


def _place(place: Place, latency: float | None) -> Place:
    """A place, which only a latency is of."""
    from edgekit.search.study.costing import HERE

    if latency is None and place != HERE:
        raise UsageError(
            "where a network runs, and what memory it may need there, is of a latency",
            hint="add --latency MS",
        )
    return place


def _bytes(flag: str, text: str | None) -> int | None:
    from edgekit.system.sizes import parse_bytes

    return None if text is None else parse_bytes(flag, text)


def _objective(counts: Mapping[str, str | None], latency: float | None, exponent: str) -> Objective:
    from edgekit.search.study.objective import MICROSECONDS, Objective
    from edgekit.system.sizes import parse_count

    chosen = {
        name: parse_count(f"--{name}", text) for name, text in counts.items() if text is not None
    }
    if latency is not None:
        if not 0 < latency < 1e6:
            raise UsageError(f"--latency {latency:g} is none", hint="milliseconds, such as 12")
        chosen[MICROSECONDS] = max(1, round(1000 * latency))
    if len(chosen) != 1:
        raise UsageError(
            "what the network may cost is one number",
            cause=f"{len(chosen)} were given",
            hint="one of --macs, --parameters, --activations and --latency",
        )
    ((name, wanted),) = chosen.items()
    try:
        exponents = [float(part) for part in exponent.split(",")]
        below, above = exponents * 2 if len(exponents) == 1 else exponents
    except ValueError:
        raise UsageError(
            f"--exponent '{exponent}' is neither one number nor two", hint="-0.07, or 0,-1"
        ) from None
    return Objective(name, wanted, below, above)


def _lines(results: Results, settings: Settings) -> list[str]:
    """The front and the base in columns, and how well short trainings ranked."""
    from edgekit.search.study.results import rows_to_show

    cost = settings.objective.cost
    lines = [f"{'network':<12} {cost:>14} {'of wanted':>9} {'accuracy %':>10} {'reward':>7}"]
    for trial, marks in rows_to_show(results, settings):
        lines.append(
            f"{trial.name:<12} {trial.cost or 0:>14,.0f} "
            f"{(trial.cost or 0) / settings.objective.target:>9.2f} "
            f"{100 * (trial.accuracy or 0):>10.2f} {trial.reward or 0:>7.4f}  {marks}"
        )
    if results.ranking is not None:
        lines.append(
            f"short trainings rank the {results.ranking.n} networks that were trained for longer "
            f"with a Kendall tau of {results.ranking.kendall_tau:.2f}"
        )
    return [line.rstrip() for line in lines]
