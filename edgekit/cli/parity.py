"""``edgekit parity RUN``: where the forms of a network part, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.options import Json

if TYPE_CHECKING:
    from edgekit.parity.chips import ChipDifference, ChipResult
    from edgekit.parity.compare import NoiseFloor, Pair, Parity
    from edgekit.parity.operators import OperatorResult

#: Tensors and differences shown to a person; --json has all.
SHOWN = 12


def parity(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="A build's folder, or an int8 .tflite file.")
    ],
    float_file: Annotated[
        Path | None, typer.Option("--float", help="Beside a file: its float .tflite file.")
    ] = None,
    photos: Annotated[int, typer.Option("--photos", help="Photos that run end to end.")] = 16,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Compare a chip's own arithmetic, too; may be repeated.", metavar="NAME"),
    ] = None,
    json: Json = False,
) -> None:
    """Compare a network's float and int8 forms, end to end and operator by operator."""
    from edgekit.errors import GateError
    from edgekit.parity.compare import compare_executions
    from edgekit.system.console import CONTROLS, Console
    from edgekit.targets import registry

    targets = registry.find_all(target or ())
    console = Console()
    with console.stage(1, 1, "parity"):
        found = compare_executions(
            path,
            float_file=float_file,
            photos=photos,
            targets=targets,
            progress=console.progress,
        )
    if json:
        from json import dumps

        print(dumps(found, indent=2, ensure_ascii=False))
    else:  # names may come from the file, and a terminal would obey control characters in them
        print("\n".join(_lines(found)).translate(CONTROLS))
    if not found["ok"]:
        first, differences = found["first"], found["differences"]
        what = f"{differences[0]['tensor']}: {differences[0]['message']}" if differences else None
        if first is not None:
            where = f"{first['index']} {first['operator']}, tensor {first['tensor']}"
            message = f"the first operator beyond its tolerance is {where}"
        else:
            message = "the file is not what its network says"
        raise GateError(message, cause=what)


def _lines(found: Parity) -> Iterator[str]:
    yield f"{found['file']}: {found['photos']} photos, {found['source']}"
    yield from _end_to_end(found)
    yield from _chips(found["chips"])
    yield from _operators(found["operators"])
    if found["differences"]:
        yield from ("", "the file is not what its network says")
        yield from _some([f"{d['tensor']}: {d['message']}" for d in found["differences"]])
    if found["tensors"]:
        yield from ("", f"{'signal to noise, worst first':44} {'operator':18} {'dB':>6}")
        for tensor in found["tensors"][:SHOWN]:
            ratio = "-" if tensor["sqnr_db"] is None else f"{tensor['sqnr_db']:.1f}"
            yield f"{tensor['tensor'][:44]:44} {tensor['operator']:18} {ratio:>6}"


def _end_to_end(found: Parity) -> Iterator[str]:
    yield from ("", f"{'end to end':41} {'     agree':>11} {'mean LSB':>9} {'KL':>9}")
    for pair in found["pairs"]:
        yield f"{pair['a']:20} {pair['b']:20} {_figures(pair)}"
    yield f"{'noise floor: the worst pair of int8 forms':41} {_figures(found['noise_floor'])}"


def _chips(results: list[ChipResult]) -> Iterator[str]:
    if results:
        yield from ("", f"{'against the reference kernels':41} {'bit-equal':>11}")
    for chip in results:
        share = f"{chip['equal']} of {chip['photos']}"
        yield f"{chip['execution']:41} {share:>11}  {chip['runtime']}"
        if (first := chip["first"]) is not None:
            yield f"  first operator that differs: {_place(first)}"
        elif chip["equal"] < chip["photos"]:
            yield "  no part of the file differs by itself"


def _place(first: ChipDifference) -> str:
    return (
        f"{first['index']} {first['operator']}, tensor {first['tensor']}, by up to "
        f"{first['steps']} LSB in {first['differing']} of {first['values']} values"
    )


def _operators(results: list[OperatorResult]) -> Iterator[str]:
    yield from ("", f"{'on equal inputs':20} {'count':>6} {'builtin LSB':>12} {'xnnpack LSB':>12}")
    for name in sorted({result["operator"] for result in results}):
        same = [result for result in results if result["operator"] == name]
        builtin = max(result["builtin"] for result in same)
        steps = [result["xnnpack"] for result in same if result["xnnpack"] is not None]
        xnnpack = str(max(steps)) if len(steps) == len(same) else "refused"
        yield f"{name:20} {len(same):>6} {builtin:>12} {xnnpack:>12}"
    beyond = [result for result in results if not result["ok"]]
    yield f"{len(beyond) or 'no'} operator{'s' * (len(beyond) != 1)} beyond the tolerance"
    yield from _some([f"{r['index']} {r['operator']} {r['tensor']}" for r in beyond])


def _figures(of: Pair | NoiseFloor) -> str:
    steps = "-" if of["mean_lsb"] is None else f"{of['mean_lsb']:.3f}"
    return f"{of['agreement']:>11.1%} {steps:>9} {of['kl']:>9.5f}"


def _some(lines: list[str]) -> list[str]:
    more = [f"  … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"  {line}" for line in lines[:SHOWN]] + more
