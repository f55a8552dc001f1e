"""``edgekit choose --target NAME --latency MS …``: which networks fit a chip."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.from_options import add_compiler_options
from edgekit.cli.options import Json
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgekit.search.choose import Choice
    from edgekit.search.estimates import Estimate
    from edgekit.search.limits import Limits


@add_compiler_options
def command(
    target: Annotated[str, typer.Option(help="Where it shall run.", metavar="NAME")],
    latency: Annotated[
        float | None, typer.Option(help="Milliseconds an inference may take.", show_default=False)
    ] = None,
    sram: Annotated[
        str | None,
        typer.Option(help="Working memory, such as 512K or 1M.", show_default=False),
    ] = None,
    flash: Annotated[
        str | None, typer.Option(help="Memory for the model, such as 4M.", show_default=False)
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Of the int8 file, such as 5M.", show_default=False)
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Points of top-1 that int8 may cost, by the best published figure.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Variants to try; else all.", metavar="NAME,...")
    ] = None,
    resolutions: Annotated[
        str | None,
        typer.Option(help="Sides in pixels; else each one's own, 192, 160, 128.", metavar="PX,..."),
    ] = None,
    widths: Annotated[
        str, typer.Option(help="Multipliers of the channels.", metavar="FACTOR,...")
    ] = "1",
    classes: Annotated[int, typer.Option(help="How many classes they have.", min=1)] = 1000,
    every: Annotated[
        bool, typer.Option("--all", help="Show also what does not fit, and why.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            help="Measure there, with the target tflite.", metavar="URL", show_default=False
        ),
    ] = None,
    json: Json = False,
    given: dict[str, Any] | None = None,
) -> None:
    """Find the variants, resolutions and widths that fit a chip, by the target's own tools.

    Each is written with random weights and given to the target's compiler, estimator or runtime;
    what a maker's tool said before is in the user's cache. K and M are 1024 and 1024 x 1024. Ends
    with 5 where nothing fits.
    """
    from edgekit.search.choose import choose, demand_one
    from edgekit.search.limits import Limits
    from edgekit.system.console import Console
    from edgekit.system.sizes import parse_bytes

    counts = {"sram": sram, "flash": flash, "size": size}
    limits = Limits(
        latency=latency,
        max_drop=max_drop,
        **{name: parse_bytes(f"--{name}", text) for name, text in counts.items() if text},
    )
    console = Console()
    among = {
        "models": [name for name in (models or "").split(",") if name],
        "resolutions": _numbers("--resolutions", resolutions or "", int),
        "widths": _numbers("--widths", widths, float),
        "classes": classes,
    }
    with _estimate(device) as ask:
        choices = choose(target, limits, among, options=given, ask=ask, console=console)
    fitting = [choice for choice in choices if choice.fits]
    if json:
        _print_json(target, limits, choices)
    else:
        if shown := choices if every else fitting:
            print("\n".join(_table(shown)))
        said = "" if every else "; --all shows the others and why"
        console.note(f"{len(fitting)} of {len(choices)} networks fit{said}")
    demand_one(choices)
    if not json:
        console.footer([choice.command for choice in fitting[:3]])


@contextmanager
def _estimate(device: str | None) -> Iterator[Estimate]:
    """What says what a file needs: the target, or a device."""
    from edgekit.search.estimates import estimate
    from edgekit.search.on_device import measure_on
    from edgekit.targets.devices.open import open_host

    if device is None:
        yield estimate
        return
    with open_host(device) as host:
        yield measure_on(host)


def _numbers(flag: str, text: str, kind: type[Any]) -> list[Any]:
    try:
        return [kind(word) for word in text.split(",") if word.strip()]
    except ValueError:
        raise UsageError(f"{flag} takes numbers with commas between them, not '{text}'") from None


def _print_json(target: str, limits: Limits, choices: Sequence[Choice]) -> None:
    from dataclasses import asdict
    from json import dumps

    document = {
        "schema_version": 1,
        "target": target,
        "limits": asdict(limits),
        "choices": [choice.to_dict() for choice in choices],
    }
    print(dumps(document, indent=2, ensure_ascii=False))


def _table(choices: Sequence[Choice]) -> list[str]:
    from edgekit.system.sizes import kibibytes
    from edgekit.system.text import NOTHING, milliseconds, points, size

    names = list(dict.fromkeys(n for c in choices if c.figures for n in c.figures.memory))
    widths = [max(len(name), 11) for name in names]
    head = f"{'network':<12}{'px':>4}{'fp32 %':>8}{'drop':>6}{'MACs (M)':>10}{'file':>9}{'ms':>8}"
    head += "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"{head}  on the chip"]
    for choice in choices:
        one, chip = choice.candidate, choice.figures
        line = f"{one.spec.name:<12}{one.resolution:>4}{points(one.top1):>8}{points(one.drop):>6}"
        line += f"{one.cost.macs / 1e6:>10,.0f}{size(choice.size_bytes):>9}"
        line += f"{milliseconds(chip.latency_ms if chip else None):>8}"
        memory = chip.memory if chip else {}
        for name, width in zip(names, widths, strict=True):
            line += f"  {kibibytes(memory[name]) if name in memory else NOTHING:>{width}}"
        mapped = NOTHING
        if chip and chip.mapped is not None:
            mapped = f"{chip.mapped} of {chip.mapped + (chip.on_cpu or 0)}"
        line += f"  {mapped:<11}"
        lines.append(f"{line}  {choice.problem or ''}".rstrip())
    by = {c.figures.latency_by for c in choices if c.figures and c.figures.latency_by}
    lines += [
        "",
        "fp32 %: ImageNet top-1 as published, at that size; drop: the least published one",
    ]
    lines += [f"of the variant by post-training int8. ms: {', '.join(sorted(by)) or 'unknown'}."]
    return lines
