"""Which variant: accuracy as published, and size and time of our files, as a table in Markdown.

    python benchmarks/variants.py
    python benchmarks/variants.py --models lite0 b0 --rounds 9 --json variants.json

Accuracy is of the catalogue (edgekit/networks/efficientnet/published.json; ``edgekit models NAME``
prints it with its sources). The files have random weights, on which neither size nor time depends.
Each variant's int8 and float file run in turn with those of the first variant in LiteRT, on one
thread, and what is counted is the processor's time: on a machine that does other things too, the
time on the wall says how busy it is. A ratio is of neighbours within a round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from emit import make_graphs

from edgekit.bench.worker import NEUTRAL
from edgekit.converters.tflite.write import write_tflite
from edgekit.errors import EdgekitError
from edgekit.networks.efficientnet.catalog import figures, list_models
from edgekit.networks.graph import Graph
from edgekit.runtimes.litert import LiteRT
from edgekit.system.files import write_json
from edgekit.system.host import cpu_name
from edgekit.system.text import NOTHING

MODELS = (
    *("lite0", "lite1", "lite2", "lite3", "lite4"),
    *("b0", "b1", "b2", "b3", "b4"),
    *("es", "em", "el"),
    *("v2-b0", "v2-b1", "v2-b2", "v2-b3", "v2-s"),
)
#: Methods of int8 whose figures are shown, the first that a variant has: all of it is in 8 bits.
METHODS = ("PTQ", "QAT")


class Published(TypedDict):
    """Accuracies of a variant in percent, None where nobody has published one."""

    fp32_top1: float | None
    fp32_of: str | None
    int8_top1: float | None
    int8_drop: float | None  # points below the same weights in float
    int8_of: str | None  # method and toolkit


class Row(Published):
    """One variant."""

    model: str
    resolution: int  # pixels
    parameters: int
    macs: int
    int8_bytes: int
    int8_ms: float  # the median over the rounds
    int8_ratio: float  # to the first variant's file: the median over the rounds
    fp32_ms: float
    fp32_ratio: float


def published(name: str) -> Published:
    """The accuracies of a variant at its own resolution, with what they are of."""
    known = [row for row in figures("accuracy", name) if " px" not in (row["note"] or "")]
    known = known or figures("accuracy", name)
    floats = [row for row in known if row["int8_top1"] is None]
    found = Published(fp32_top1=None, fp32_of=None, int8_top1=None, int8_drop=None, int8_of=None)
    if floats:
        found["fp32_top1"], found["fp32_of"] = floats[0]["fp32_top1"], floats[0]["toolkit"]
    for method in METHODS:
        rows = [r for r in known if r["method"].startswith(method) and r["int8_top1"] is not None]
        if rows:
            best = min(rows, key=lambda row: row["fp32_top1"] - row["int8_top1"])
            drop = round(best["fp32_top1"] - best["int8_top1"], 3)
            of = f"{method}, {best['toolkit'].partition(',')[0]}"
            found["int8_top1"], found["int8_drop"], found["int8_of"] = best["int8_top1"], drop, of
            break
    return found


def write_files(folder: Path, model: str, resolution: int | None) -> list[Path]:
    """Writes a variant's int8 and its float file, of random weights."""
    files = {}
    for scheme, path in make_graphs(folder, model, resolution):
        graph = Graph.load(path)
        files[scheme] = path.with_suffix(".tflite")
        write_tflite(graph, files[scheme], io="uint8" if graph.quant else "float32")
        path.unlink()
    return [files["w8a8-static"], files["fp32"]]


def turn(model: LiteRT, seconds: float) -> float:
    """Runs a model for a while; the median of its runs in milliseconds of processor time.

    The run before them is not counted: others have had the caches since the last.
    """
    model.invoke()
    times: list[float] = []
    while not times or sum(times) < seconds:
        began = time.process_time()
        model.invoke()
        times.append(time.process_time() - began)
    return 1e3 * statistics.median(times)


def race(paths: Sequence[Path], rounds: int, seconds: float) -> list[list[float]]:
    """Runs files in turn; the milliseconds of each file by round."""
    models = [LiteRT(path, preprocessing=NEUTRAL, threads=1) for path in paths]
    for model in models:
        model.set_input(model.feed(np.full((model.side, model.side, 3), 99, np.uint8)))
    times: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, its in zip(models, times, strict=True):
            its.append(turn(model, seconds))
    return times


def ratio(mine: Sequence[float], others: Sequence[float]) -> float:
    """How many times as long a file takes as another one: the median over the rounds."""
    return statistics.median(own / other for own, other in zip(mine, others, strict=True))


def rows(
    models: Sequence[str], rounds: int, seconds: float, resolution: int | None = None
) -> Iterator[Row]:
    """Measures the variants one after the other, each beside the first.

    Args:
        models: their names.
        rounds: how often each file has its turn.
        seconds: of processor time, how long a turn is at least.
        resolution: of all of them, in pixels; each one's own by default.

    Raises:
        EdgekitError: there is no such variant, or a file cannot be run.
    """
    with tempfile.TemporaryDirectory() as name:
        first: list[Path] = []
        for model in models:
            (about,) = list_models(model)
            own = write_files(Path(name), model, resolution)
            first = first or own
            int8_first, fp32_first, int8, fp32 = race([*first, *own], rounds, seconds)
            yield Row(
                model=model,
                resolution=resolution or about["resolution"],
                **published(model),
                parameters=about["parameters"],
                macs=about["macs"],
                int8_bytes=own[0].stat().st_size,
                int8_ms=statistics.median(int8),
                int8_ratio=ratio(int8, int8_first),
                fp32_ms=statistics.median(fp32),
                fp32_ratio=ratio(fp32, fp32_first),
            )


def table(found: Sequence[Row]) -> Iterator[str]:
    """The lines of the table in Markdown."""
    first = found[0]["model"]
    yield (
        "| variant | px | fp32 top-1 | int8 top-1 | drop | parameters, M | MACs, M | int8 kB "
        f"| int8 ms | x {first} | fp32 ms | x {first} | int8 top-1 by |"
    )
    yield "|---|" + "---:|" * 11 + "---|"
    for row in found:
        accuracies = (row["fp32_top1"], row["int8_top1"], row["int8_drop"])
        fp32, int8, drop = (NOTHING if value is None else f"{value:.1f}" for value in accuracies)
        yield (
            f"| `{row['model']}` | {row['resolution']} | {fp32} | {int8} | {drop} "
            f"| {row['parameters'] / 1e6:.1f} | {row['macs'] / 1e6:,.0f} "
            f"| {row['int8_bytes'] / 1e3:,.0f} | {row['int8_ms']:.1f} | {row['int8_ratio']:.2f} "
            f"| {row['fp32_ms']:.1f} | {row['fp32_ratio']:.2f} | {row['int8_of'] or NOTHING} |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, help="variants, the reference first")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn, at least")
    parser.add_argument("--resolution", type=int, help="of all models, in place of their own")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    found = []
    try:
        for row in rows(given.models, given.rounds, given.seconds, given.resolution):
            found.append(row)
            print(f"{row['model']}: {row['int8_ms']:.1f} ms in int8", file=sys.stderr, flush=True)
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(table(found)))
    print(f"\n{cpu_name()}, one thread, {given.rounds} rounds")
    if given.json:
        write_json(given.json, {"cpu": cpu_name(), "rows": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
