"""``edgekit bench MODEL_FILE...``: how fast files are on this host, measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json, Std
from edgekit.targets import registry

if TYPE_CHECKING:
    from edgekit.bench.saved import Change
    from edgekit.bench.side_by_side import Document, File
    from edgekit.system.console import Console


def command(
    files: Annotated[
        list[Path], typer.Argument(metavar="MODEL_FILE...", help=".tflite, .onnx and .xml files.")
    ],
    rounds: Annotated[int, typer.Option(help="How often each file has its turn.")] = 5,
    seconds: Annotated[float, typer.Option(help="How long a turn is.")] = 1.0,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            help="Of each runtime. [all cores; on devices each number up to theirs]",
            show_default=False,
        ),
    ] = None,
    photo: Annotated[
        Path | None, typer.Option(help="What they are given. [a drawn picture]", metavar="FILE")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="Measure there too: ssh://[user@]host, adb://SERIAL.", metavar="URL"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="With --device: photos that it answers.", metavar="FOLDER")
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="The photos of --data, a file of their boxes.", metavar="FOLDER"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="So many of --data, evenly spread.", min=1)
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="With --device: of a float input, one number or three, of 0 to 255.",
            metavar="R,G,B",
        ),
    ] = None,
    std: Std = None,
    delegate: Annotated[
        list[str] | None,
        typer.Option(help=f"On devices: none, xnnpack, {registry.DEFAULT}, gpu. [xnnpack]"),
    ] = None,
    cool_down: Annotated[
        float, typer.Option(help="Seconds that a device may take to cool, before and again.", min=0)
    ] = 0.0,
    python: Annotated[
        str | None, typer.Option(help="The Python there. [the first with a TFLite runtime]")
    ] = None,
    benchmark_binary: Annotated[
        Path | None,
        typer.Option(help="TensorFlow Lite's benchmark_model, to run there.", metavar="FILE"),
    ] = None,
    openvino_device: Annotated[
        str, typer.Option(help="Of .xml files: CPU, GPU, NPU or AUTO.", metavar="NAME")
    ] = "CPU",
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for what OpenVINO compiles, to load faster.", metavar="DIR"),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a file may hang.")] = 60.0,
    json: Json = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Save the JSON document.", metavar="FILE")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="A saved document.", metavar="FILE")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Percent slower than --against; beyond them it ends with 5.")
    ] = 10.0,
) -> None:
    """Measure load, first run, warm runs and memory of model files, in turn and round by round.

    Ratios are to the first file, of the same round: what else the machine does slows both.
    """
    from edgekit.bench import saved as bench_saved
    from edgekit.bench import side_by_side as bench
    from edgekit.data.normalization import parse_normalization
    from edgekit.errors import UsageError
    from edgekit.system.console import Console

    if not tolerance >= 0:
        raise UsageError(f"a tolerance of {tolerance:g} % is none", hint="give 0 or more")
    console = Console()
    if device and (against or photo or cache):
        raise UsageError(
            "--against, --photo and --cache are for files on this host", hint="leave out --device"
        )
    if device:
        _on_devices(
            console,
            files,
            device,
            data=data,
            boxed=photos,
            limit=limit,
            delegates=delegate or [],
            python=python,
            binary=benchmark_binary,
            as_json=json,
            out=out,
            threads=tuple(sorted(set(threads or []))) or None,
            normalization=parse_normalization(mean, std),
            seconds=seconds * rounds,
            cool_down=cool_down,
            timeout_s=timeout,
        )
        return
    own = (data, photos, limit, mean, std, delegate, python, benchmark_binary, cool_down)
    if any(own):
        raise UsageError(
            "--data, --photos, --limit, --mean, --std, --delegate, --python, --benchmark-binary "
            "and --cool-down are for devices",
            hint="add --device URL",
        )
    if threads and len(threads) > 1:
        raise UsageError("several --threads are for devices", hint="give one, or add --device URL")
    count = threads[0] if threads else None
    settings = bench.Settings(rounds, seconds, count, photo, timeout, openvino_device, cache)
    saved = bench_saved.read(against) if against else None
    with console.stage(1, 1, "bench"):
        document, problems = bench.measure(files, settings, progress=console.progress)
    comparison = bench_saved.compare(document, saved, tolerance) if saved else None
    for warning in comparison.warnings if comparison else []:
        console.warn(warning)
    _print(document, comparison.changes if comparison else None, as_json=json)
    if out:
        _save(document, out)
    if problems:
        for problem in problems[1:]:
            console.error(problem)
        raise problems[0]
    if comparison and against:
        comparison.check(against, tolerance)


def _on_devices(
    console: Console,
    files: Sequence[Path],
    urls: Sequence[str],
    *,
    data: str | None,
    boxed: Path | None,
    limit: int | None,
    delegates: Sequence[str],
    python: str | None,
    binary: Path | None,
    as_json: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Measures one file on this host and on devices, and shows both side by side."""
    from edgekit.bench import devices as bench_devices
    from edgekit.cli.bench_devices import show
    from edgekit.errors import UsageError
    from edgekit.targets.devices.open import check_url
    from edgekit.targets.measure.isolated import Delegate
    from edgekit.targets.measure.method import choose_method
    from edgekit.targets.measure.photos import load_photos, make_job

    if len(files) != 1 or files[0].suffix.lower() != ".tflite":
        raise UsageError("--device takes one .tflite file", hint="one command for each file")
    for url in urls:
        check_url(url)
    method = choose_method(python, binary)
    if boxed and not data:
        raise UsageError(
            f"--photos {boxed} was given without --data",
            hint="give the file of their boxes to --data",
        )
    photos = load_photos(files[0], data, limit, photos=boxed)
    chosen = tuple(Delegate(name) for name in dict.fromkeys(delegates)) or (Delegate(),)
    job = make_job(files[0], photos, delegates=chosen, **settings)
    document, problems = bench_devices.measure(job, photos, urls, method, console)
    show(document, console, as_json=as_json, out=out)
    first, *others = {str(problem): problem for problem in problems}.values() or (None,)
    for problem in others:
        console.error(problem)
    if first:
        raise first


def _print(document: Document, changes: Sequence[Change | None] | None, *, as_json: bool) -> None:
    import sys

    from edgekit.bench.side_by_side import classifier_notes, int8_notes
    from edgekit.system.console import safe

    if as_json:
        from json import dumps

        print(dumps(document, indent=2, ensure_ascii=False))
        return
    if document["files"]:
        lines = [*_table(document["files"], changes), _how(document)]
        lines += [*classifier_notes(document), *int8_notes(document)]
        print(safe("\n".join(lines), sys.stdout))


def _how(document: Document) -> str:
    threads, rounds = document["threads"], document["rounds"]
    return (
        f"{threads} thread{'s' * (threads != 1)}, {rounds} round{'s' * (rounds != 1)} of "
        f"{document['seconds']:g} s; ratio to {Path(document['reference'] or '').name}: median "
        "(least to most) of the rounds; memory: resident after a run"
    )


def _table(files: Sequence[File], changes: Sequence[Change | None] | None) -> list[str]:
    """The figures in columns; times in ms. The first two columns are words, the others figures."""
    titles = ["file", "runtime", "size", "memory", "load ms", "first ms", "median ms"]
    titles += ["p5 to p95", "runs", "ratio"] + ["change"] * (changes is not None)
    rows = [_row(file) for file in files]
    if changes is not None:
        rows = [[*row, _change(change)] for row, change in zip(rows, changes, strict=True)]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (titles, *rows)
    ]


def _row(file: File) -> list[str]:
    from edgekit.system.text import milliseconds as ms
    from edgekit.system.text import size

    return [
        Path(file["path"]).name,
        file["runtime"],
        size(file["size_bytes"]),
        size(file["memory_bytes"]),
        ms(file["load_ms"]),
        ms(file["first_ms"]),
        ms(file["median_ms"]),
        f"{ms(file['p5_ms'])} to {ms(file['p95_ms'])}",
        str(file["n"]),
        f"{file['ratio']:.2f} ({file['ratio_low']:.2f} to {file['ratio_high']:.2f})",
    ]


def _change(change: Change | None) -> str:
    from edgekit.system.text import NOTHING

    if change is None:
        return NOTHING
    return f"{100 * change.fraction:+.1f} %" + (" slower" if change.slower else "")


def _save(document: Document, path: Path) -> None:
    from json import dumps

    from edgekit.report.document import write_text

    write_text(path, dumps(document, indent=2, ensure_ascii=False) + "\n")
