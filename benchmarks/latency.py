"""Latency of our files against those of other tools, each pair side by side.

    python benchmarks/latency.py --run FOLDER [--run ...] [--threads N ...] [--json FILE]
    python benchmarks/latency.py --pair NAME OURS THEIRS [--pair ...] [--json FILE]

``--run`` takes a finished build for tflite, openvino and onnx (of any network, with any weights:
the time does not depend on them), has the peers quantize the same float network with the same
photos, and compares with them. What is not installed is left out, and said.

A pair's two files run in turn, round by round, each runtime in a process of its own
(`edgekit.bench.side_by_side`). The ratio is theirs to ours within a round, so above 1 ours is
faster. .tflite files take and give int8, ours too, which is written again for it; other files are
compared as users have them: ours take bytes, NHWC, theirs normalised reals, NCHW.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.bench.side_by_side import PACKAGES, Settings, measure
from edgekit.errors import EdgekitError, UsageError
from edgekit.system import text as fmt
from edgekit.system.files import write_json
from edgekit.system.host import describe_host, int8_dot_product, usable_cores

SCHEMA_VERSION = 2
#: Runs .pte files, too.
WORKER = (sys.executable, str(Path(__file__).with_name("executorch_runtime.py")))
PHOTOS = 50  # that the peers calibrate on; more change the ranges, and not the time


class Pair(NamedTuple):
    """Two files of one network; where it is not known, ``network`` is empty."""

    network: str
    name: str
    ours: Path
    theirs: Path


def compare(
    pairs: Iterable[Pair],
    rounds: int = 5,
    seconds: float = 1.0,
    threads: Sequence[int] = (),
) -> dict[str, Any]:
    """Measures each pair of files by itself, with each number of threads.

    Args:
        pairs: the files.
        rounds: how often each file has its turn.
        seconds: how long a turn is.
        threads: of each runtime; all cores where there are none.

    Returns:
        JSON values: ``schema_version``, ``host``, ``int8_dot_product``, ``rounds``, ``seconds`` and
        ``pairs``, of which each has its ``network``, ``name`` and ``threads``, ``ours`` and
        ``theirs`` (as `edgekit.bench.side_by_side.File` has them) and ``ratio``, ``ratio_low`` and
        ``ratio_high``: theirs to ours, median, least and most of the rounds.

    Raises:
        EdgekitError: a file cannot be measured.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "host": describe_host((*PACKAGES, "executorch")),
        "int8_dot_product": int8_dot_product(),
        "rounds": rounds,
        "seconds": seconds,
        "pairs": [
            _measured(pair, Settings(rounds, seconds, count, worker=WORKER))
            for pair in pairs
            for count in threads or (usable_cores(),)
        ],
    }


def pairs_of(run: Path, folder: Path, only: Sequence[str] = ()) -> Iterator[Pair]:
    """A build's int8 files, each with the files that peers make of the same float network.

    Args:
        run: a finished build for tflite, openvino and onnx.
        folder: for the files of the peers, and for ours that are written again.
        only: names of peers; all of them where there are none.

    Raises:
        UsageError: there is no such build.
    """
    import quantization_peers as peers
    from quantization_subject import find_subject

    subject = find_subject(argparse.Namespace(run=run, limit=PHOTOS), folder)
    stem, network = f"{subject.graph.name}-w8a8-static", run.name
    for name, suffix, peer in PEERS:
        if only and peer not in only:
            continue
        own = run / f"{stem}{suffix}"
        if not own.exists():
            raise UsageError(f"{run} has no {own.name}", hint="build it for that target too")
        print(f"{network}: {name} …", file=sys.stderr)
        try:
            with peers.quiet():
                theirs = peers.PEERS[peer].ready(subject, folder)().path
        except ImportError as error:
            print(f"left out: {error}: {peers.install(peer)}", file=sys.stderr)
            continue
        files = ALIKE[suffix](own, theirs, folder) if suffix in ALIKE else (own, theirs)
        yield Pair(network, name, *files)


def _in_int8(own: Path, theirs: Path, folder: Path) -> tuple[Path, Path]:
    """Our file with an input and an output in int8, as theirs: bytes cost a QUANTIZE at each."""
    from edgekit.converters.tflite.write import convert
    from edgekit.networks.graph import Graph

    written = folder / own.name
    written.write_bytes(convert(Graph.load(own.with_suffix(".graph")), io="int8"))
    return written, theirs


def _in_plain_sessions(own: Path, theirs: Path, folder: Path) -> tuple[Path, Path]:
    """Their file as its users run it, in a session of ONNX Runtime's defaults.

    `edgekit.runtimes.onnx` would have its int8 weights exact without VNNI, which is slower. A file
    that says that its kernels fit is not treated so; theirs do not, and saturate.
    """
    import onnx

    from edgekit.converters.onnx.package import KERNELS_KEY, PAIR_SUMS

    model = onnx.load(theirs)
    onnx.helper.set_model_props(model, {KERNELS_KEY: PAIR_SUMS})
    onnx.save(model, theirs)
    return own, theirs


#: What a pair is called, the ending of our file, and the peer.
PEERS = (
    ("OpenVINO, NNCF", ".xml", "nncf"),
    ("ONNX Runtime's own", ".onnx", "onnxruntime"),
    ("TensorFlow's converter", ".tflite", "tensorflow"),
    ("litert-quantizer", ".tflite", "litert-quantizer"),
    ("ExecuTorch's XNNPACK", ".tflite", "executorch"),
)
#: By ending, what makes two files comparable.
ALIKE: dict[str, Callable[[Path, Path, Path], tuple[Path, Path]]] = {
    ".tflite": _in_int8,
    ".onnx": _in_plain_sessions,
}


def _measured(pair: Pair, settings: Settings) -> dict[str, Any]:
    document, problems = measure([pair.ours, pair.theirs], settings)
    if problems:
        raise problems[0]
    own, other = document["files"]
    ratios = {key: other[key] for key in ("ratio", "ratio_low", "ratio_high")}
    names = {"network": pair.network, "name": pair.name, "threads": settings.threads}
    return names | {"ours": own, "theirs": other} | ratios


def table(document: dict[str, Any]) -> list[str]:
    """The pairs in columns; times in ms."""
    lines = [
        f"{'':<24}{'network':<10}{'threads':>7}{'ours':>8}{'theirs':>8}  {'theirs / ours':<20}"
        f"  {'memory':<20}  load ms"
    ]
    for pair in document["pairs"]:
        sides = [pair["ours"], pair["theirs"]]
        medians = "".join(f"{fmt.milliseconds(side['median_ms']):>8}" for side in sides)
        ratio = f"{pair['ratio']:.2f} ({pair['ratio_low']:.2f} to {pair['ratio_high']:.2f})"
        memory = " / ".join(fmt.size(side["memory_bytes"]) for side in sides)
        load = " / ".join(fmt.milliseconds(side["load_ms"]) for side in sides)
        names = f"{pair['name']:<24}{pair['network']:<10}{pair['threads']:>7}"
        lines.append(f"{names}{medians}  {ratio:<20}  {memory:<20}  {load:<14}".rstrip())
    return [*lines, f"{document['host']['cpu']}, {document['rounds']} rounds"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=Path, action="append", default=[], help="a finished build; may be repeated")
    add("--pair", nargs=3, action="append", default=[], metavar=("NAME", "OURS", "THEIRS"))
    add("--only", nargs="+", default=[], choices=[peer for *_, peer in PEERS], help="these peers")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=1.0, help="of each turn")
    add("--threads", type=int, action="append", default=[], help="of each runtime [all cores]")
    add("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    pairs = [Pair("", name, Path(ours), Path(theirs)) for name, ours, theirs in given.pair]
    try:
        with tempfile.TemporaryDirectory() as name:
            for number, run in enumerate(given.run):
                folder = Path(name) / str(number)
                folder.mkdir()
                pairs += pairs_of(run, folder, given.only)
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
