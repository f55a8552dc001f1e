"""``edgekit run MODEL.tflite PHOTO...``: what a file answers on this host, and how fast.

Not named after its command, because `edgekit.cli.run` is the function that runs the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.targets import registry

_LIBRARY = registry.find(registry.DEFAULT).delegate
_MEAN = "Of a float input; one number or three, of 0 to 255. [as the file says]"
_STD = "A photo is fed as (pixel - mean) / std. [as the file says]"
_DELEGATE = f"none, xnnpack, or {registry.DEFAULT}{_LIBRARY.help if _LIBRARY else ''}."


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite classifier.")],
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="[a drawn test picture]")
    ] = None,
    delegate: Annotated[str, typer.Option("--delegate", help=_DELEGATE)] = "xnnpack",
    library: Annotated[
        str | None, typer.Option("--library", help=_LIBRARY and _LIBRARY.library_help)
    ] = None,
    tpu: Annotated[
        str, typer.Option("--tpu", metavar="DEVICE", help=_LIBRARY and _LIBRARY.device_help)
    ] = "",
    threads: Annotated[int, typer.Option("--threads", help="Of the kernels on the CPU.")] = 1,
    mean: Annotated[
        str | None, typer.Option("--mean", metavar="R,G,B", help=_MEAN, show_default=False)
    ] = None,
    std: Annotated[
        str | None, typer.Option("--std", metavar="R,G,B", help=_STD, show_default=False)
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Classes shown per photo.")] = 5,
    repeat: Annotated[int, typer.Option("--repeat", help="Runs measured, first photo.")] = 10,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for each step.")] = 60.0,
    json: Json = False,
) -> None:
    """Classify photos with a .tflite file on this host, and measure it."""
    from edgekit.data.normalization import parse_normalization
    from edgekit.system.console import CONTROLS, Console
    from edgekit.targets.classify import classify
    from edgekit.targets.measure.isolated import Delegate, Effort

    console = Console()
    with console.stage(1, 1, f"run {delegate}") as stage:
        found = classify(
            model,
            photos or [],
            delegate=Delegate(delegate, library, tpu),
            top=top,
            effort=Effort(threads, repeat, timeout),
            normalization=parse_normalization(mean, std),
            progress=lambda done, total: console.progress("run", done, total),
        )
        stage.detail = found["runtime"]
    if json:
        from json import dumps

        print(dumps(found, indent=2, ensure_ascii=False))
    else:  # names come from the file, and a terminal would obey control characters in them
        print("\n".join(_lines(found)).translate(CONTROLS))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    from edgekit.system.text import milliseconds

    is_logit = found["output"] == "logit"
    for photo in found["photos"]:
        yield photo["photo"]
        for place in photo["top"]:
            name = f"class {place['index']}" if place["label"] is None else place["label"]
            logit = f"  (logit {_number(place['score'])})" if is_logit else ""
            yield f"  {_number(place['probability']):>8}  {name}{logit}"
    if found["labels_note"]:
        yield f"labels: {found['labels_note']}"
    if is_logit:
        yield f"the file gives logits ({found['output_reason']}); probabilities are their softmax"
    else:
        yield f"the file gives probabilities ({found['output_reason']})"
    latency = found["latency_ms"]
    names = ["load", "first", "median", "p5", "p95"]
    if found["delegate"]["library"]:
        names.insert(0, "delegate")
    figures = ", ".join(f"{name} {milliseconds(latency[name])}" for name in names)
    threads = f"{found['threads']} thread{'s' * (found['threads'] != 1)}"
    runs = f"{latency['n']} run{'s' * (latency['n'] != 1)}"
    yield f"latency in ms: {figures} ({runs}, {found['delegate']['name']}, {threads})"


def _number(value: float | None) -> str:
    from edgekit.system.text import NOTHING

    return NOTHING if value is None else f"{value:.4f}"
