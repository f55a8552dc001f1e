"""Latency of our files against those of other tools, each pair side by side.

    python benchmarks/latency.py --run FOLDER [--json FILE]
    python benchmarks/latency.py --pair NAME OURS THEIRS [--pair ...] [--json FILE]

``--run`` takes a finished build for tflite, openvino and onnx, has the peers quantize the same
float network with the same photos (NNCF, ONNX Runtime, and TensorFlow's converter on the network of
``keras.applications`` where the build's weights are a file of it), and compares with them.

A pair's two files run in turn, round by round, each runtime in a process of its own
(`edgekit.bench.side_by_side`). The ratio is theirs to ours within a round, so above 1 ours is
faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekit.bench.side_by_side import PACKAGES, Settings, measure
from edgekit.errors import EdgekitError, UsageError
from edgekit.system import text as fmt
from edgekit.system.files import write_json
from edgekit.system.host import describe_host, int8_dot_product, usable_cores

SCHEMA_VERSION = 1
PHOTOS = 50  # that the peers calibrate on; more change the ranges, and not the time


def compare(
    pairs: Iterable[tuple[str, Path, Path]],
    rounds: int = 5,
    seconds: float = 1.0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Measures each pair of files by itself.

    Args:
        pairs: name, our file, their file.
        rounds: how often each file has its turn.
        seconds: how long a turn is.
        threads: of each runtime; None for all cores.

    Returns:
        JSON values: ``schema_version``, ``host``, ``int8_dot_product``, ``threads``, ``rounds``,
        ``seconds`` and ``pairs``, of which each has its ``name``, ``ours`` and ``theirs`` (as
        `edgekit.bench.side_by_side.File` has them) and ``ratio``, ``ratio_low`` and
        ``ratio_high``: theirs to ours, median, least and most of the rounds.

    Raises:
        EdgekitError: a file cannot be measured.
    """
    threads = threads or usable_cores()
    return {
        "schema_version": SCHEMA_VERSION,
        "host": describe_host(PACKAGES),
        "int8_dot_product": int8_dot_product(),
        "threads": threads,
        "rounds": rounds,
        "seconds": seconds,
        "pairs": [_pair(*pair, Settings(rounds, seconds, threads)) for pair in pairs],
    }


def pairs_of(run: Path, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """A build's int8 files, each with the file that a peer makes of the same float network.

    Args:
        run: a finished build for tflite, openvino and onnx.
        folder: for the peers' files.

    Raises:
        UsageError: there is no such build.
    """
    import quantization_peers as peers
    from quantization_subject import find_subject

    subject = find_subject(argparse.Namespace(run=run, limit=PHOTOS), folder)
    for name, suffix, peer in (
        ("OpenVINO, NNCF", ".xml", "nncf"),
        ("ONNX Runtime's own", ".onnx", "onnxruntime"),
        ("TensorFlow's converter", ".tflite", "tensorflow"),
    ):
        own = run / f"{subject.graph.name}-w8a8-static{suffix}"
        if not own.exists():
            raise UsageError(f"{run} has no {own.name}", hint="build it for that target too")
        print(f"{name} …", file=sys.stderr)
        try:
            theirs = peers.PEERS[peer].ready(subject, folder)().path
        except ImportError as error:
            print(f"left out: {error}: {peers.install(peer)}", file=sys.stderr)
            continue
        yield name, own, theirs


def _pair(name: str, ours: Path, theirs: Path, settings: Settings) -> dict[str, Any]:
    document, problems = measure([ours, theirs], settings)
    if problems:
        raise problems[0]
    own, other = document["files"]
    ratios = {key: other[key] for key in ("ratio", "ratio_low", "ratio_high")}
    return {"name": name, "ours": own, "theirs": other, **ratios}


def table(document: dict[str, Any]) -> list[str]:
    """The pairs in columns; times in ms."""
    lines = [f"{'':<24}{'ours':>8}{'theirs':>8}  {'theirs / ours':<20}  {'memory':<20}  load ms"]
    for pair in document["pairs"]:
        sides = [pair["ours"], pair["theirs"]]
        medians = "".join(f"{fmt.milliseconds(side['median_ms']):>8}" for side in sides)
        ratio = f"{pair['ratio']:.2f} ({pair['ratio_low']:.2f} to {pair['ratio_high']:.2f})"
        memory = " / ".join(fmt.size(side["memory_bytes"]) for side in sides)
        load = " / ".join(fmt.milliseconds(side["load_ms"]) for side in sides)
        lines.append(f"{pair['name']:<24}{medians}  {ratio:<20}  {memory:<20}  {load:<14}".rstrip())
    cpu, threads = document["host"]["cpu"], document["threads"]
    return [*lines, f"{cpu}, {threads} threads, {document['rounds']} rounds"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a finished build for tflite, openvino and onnx")
    parser.add_argument("--pair", nargs=3, action="append", metavar=("NAME", "OURS", "THEIRS"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--threads", type=int, help="of each runtime [all cores]")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    pairs = [(name, Path(ours), Path(theirs)) for name, ours, theirs in given.pair or []]
    try:
        with tempfile.TemporaryDirectory() as folder:
            if given.run:
                pairs += pairs_of(given.run, Path(folder))
            document = compare(pairs, given.rounds, given.seconds, given.threads)
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(table(document)))
    if given.json:
        write_json(given.json, document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
