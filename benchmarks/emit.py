"""From a finished Graph to a .tflite file: edgekit's writer, TensorFlow's converter, litert-torch.

Each row is a process of its own that loads the same Graph, then writes; imports are timed apart.
The peak is of the whole process while it writes, with what it has imported and the Graph.

    python benchmarks/emit.py
    python benchmarks/emit.py --models b0 --json emit.json
    python benchmarks/emit.py --models all --libraries edgekit
    python benchmarks/emit.py --libraries edgekit litert-torch --litert-torch OTHER/bin/python

litert-torch wants other versions than edgekit: ``--litert-torch`` names the Python of an
environment that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np

from edgekit.networks.efficientnet.spec import SPECS
from edgekit.system.files import write_json

WORKER = Path(__file__).with_name("emit_worker.py")
LIBRARIES = ("edgekit", "tensorflow", "litert-torch")
MODELS = ("b0", "b4", "b7")
SCHEMES = ("fp32", "w8a8-static")
#: A range for every tensor: what is written does not depend on it, and its values not either.
RANGE = (-4.0, 4.0)
_MISSING = 3


class Row(TypedDict):
    """One file. Figures are None where ``problem`` says why there is none.

    ``seconds``: from the Graph to the file on disk, without imports. ``import_seconds``: of the
    library. ``peak_mb``: most memory of the process while it wrote, in 10**6 bytes.
    """

    library: str
    model: str
    scheme: str
    seconds: float | None
    import_seconds: float | None
    peak_mb: float | None
    size_bytes: int | None
    problem: str | None


def make_graphs(folder: Path, model: str, resolution: int | None) -> Iterator[tuple[str, Path]]:
    """Writes a variant with random weights, float and quantized; gives scheme and file of each."""
    from edgekit.calibration.quantize import fixed_ranges, quantize
    from edgekit.networks.efficientnet.architecture import build_graph
    from edgekit.networks.efficientnet.find import find_spec
    from edgekit.networks.passes import absorb_normalization, prepare

    spec = find_spec(model)
    graph = prepare(build_graph(spec, resolution=resolution, seed=0))
    # Random biases are 0 throughout, which a converter may leave out.
    rng = np.random.default_rng(0)
    biases = {
        name: rng.normal(0, 0.1, array.shape)
        for name, array in graph.weights.items()
        if name.endswith("/bias")
    }
    graph = graph.with_weights({**graph.weights, **biases})
    graph.save(folder / f"{model}-fp32.graph")
    yield "fp32", folder / f"{model}-fp32.graph"
    graph, mean, std = absorb_normalization(graph, spec.mean, spec.std, "common-zero")
    ranges = dict.fromkeys((graph.input, *(node.name for node in graph.nodes)), RANGE)
    quantized = quantize(graph, {**ranges, **fixed_ranges(graph, mean, std)})
    quantized.save(folder / f"{model}-w8a8-static.graph")
    yield "w8a8-static", folder / f"{model}-w8a8-static.graph"


def emit(library: str, model: str, scheme: str, graph: Path, python: str) -> Row:
    """Writes one file in a process of its own."""
    out = graph.with_name(f"{graph.stem}-{library}.tflite")
    row = Row(
        library=library,
        model=model,
        scheme=scheme,
        seconds=None,
        import_seconds=None,
        peak_mb=None,
        size_bytes=None,
        problem=None,
    )
    # The worker may run in an environment that has no edgekit.
    root = str(WORKER.parents[1])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [python, str(WORKER), library, str(graph), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    if done.returncode:
        lines = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()
        row["problem"] = lines[-1] if done.returncode != _MISSING else f"{library}: {lines[-1]}"
        return row
    row.update(json.loads(done.stdout.splitlines()[-1]))
    row["size_bytes"] = out.stat().st_size
    out.unlink()
    return row


def print_row(row: Row) -> None:
    """One line of the table."""
    head = f"{row['model']:<6}{row['scheme']:<13}{row['library']:<14}"
    if row["problem"] is not None:
        print(f"{head}{row['problem']}", flush=True)
        return
    print(
        f"{head}{row['seconds']:8.2f} s  imports {row['import_seconds']:6.2f} s"
        f"{row['peak_mb']:9.0f} MB peak{(row['size_bytes'] or 0) / 1e6:9.1f} MB file",
        flush=True,
    )


def print_ratios(rows: list[Row]) -> None:
    """How much longer the others take, and how the peak relates to the file."""
    ours = {(r["model"], r["scheme"]): r for r in rows if r["library"] == "edgekit"}
    for row in rows:
        mine = ours.get((row["model"], row["scheme"]))
        if row["library"] == "edgekit" or mine is None:
            continue
        times = _ratio(row["seconds"], mine["seconds"])
        peaks = _ratio(row["peak_mb"], mine["peak_mb"])
        if times is None or peaks is None:
            continue
        print(
            f"{row['model']:<6}{row['scheme']:<13}{row['library']:<14}"
            f"{times:8.1f} x edgekit's time {peaks:6.1f} x its peak"
        )


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, help="variants, or: all")
    parser.add_argument("--schemes", nargs="+", default=SCHEMES, choices=SCHEMES)
    parser.add_argument("--libraries", nargs="+", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--resolution", type=int, help="of all models, in place of their own")
    parser.add_argument(
        "--litert-torch", default=sys.executable, metavar="PYTHON", help="the Python that has it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for model in SPECS if [*options.models] == ["all"] else options.models:
            for scheme, graph in make_graphs(Path(name), model, options.resolution):
                for library in options.libraries if scheme in options.schemes else ():
                    python = options.litert_torch if library == "litert-torch" else sys.executable
                    rows.append(emit(library, model, scheme, graph, python))
                    print_row(rows[-1])
                graph.unlink()
    print_ratios(rows)
    if options.json:
        write_json(options.json, {"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
