"""``edgekit run MODEL PHOTO...``: what a file answers on this host, and how fast.

Not named after its command, because `edgekit.cli.run` is the function that runs the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.targets import registry

_LIBRARY = registry.find(registry.DEFAULT).delegate
_MEAN = "Of a float input; one number or three, of 0 to 255. [as the file says]"
_STD = "A photo is fed as (pixel - mean) / std. [as the file says]"
_DELEGATE = (
    f"Of a .tflite file: none, xnnpack, or {registry.DEFAULT}{_LIBRARY.help if _LIBRARY else ''}."
)


def command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A .tflite, .onnx or .xml file, or the folder of a run."
        ),
    ],
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
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Of a segmenter's or a detector's drawing, or a folder. [PHOTO-….png here]",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Of its classes, a PNG of indices with a palette, or a folder."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="The lowest score of a box that is drawn and listed. [0.3]", show_default=False
        ),
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", help="Runs measured, first photo.")] = 10,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds for each step of a .tflite file.")
    ] = 60.0,
    json: Json = False,
) -> None:
    """Answer for photos with a model file on this host, and measure it.

    A classifier's best classes are printed; a segmenter's are drawn over the photo, and so are a
    detector's boxes.
    """
    from edgekit.data.normalization import parse_normalization
    from edgekit.system.console import CONTROLS, Console
    from edgekit.targets.deploy.model import find_source
    from edgekit.targets.measure.isolated import Delegate, Effort
    from edgekit.targets.photo_model import open_photo_model

    path = find_source(model).path
    opened = open_photo_model(path)
    task = opened.task
    answer: Callable[..., dict[str, Any]]
    lines: Callable[[dict[str, Any]], Iterator[str]] = _lines
    if task.rows is not None or task.boxes is not None:
        from edgekit.targets.detect import THRESHOLD, detect

        _refuse_drawing(path, "detector", mask=mask)
        lowest = THRESHOLD if threshold is None else threshold
        answer, lines = partial(detect, out=out, threshold=lowest), _box_lines
    elif task.map is None:
        from edgekit.targets.classify import classify

        _refuse_drawing(path, "classifier", out=out, mask=mask)
        answer = partial(classify, top=top)
    else:
        from edgekit.targets.segment import segment

        answer, lines = partial(segment, out=out, mask=mask), _drawn_lines
    console = Console()
    with console.stage(1, 1, f"run {opened.runtime_name or delegate}") as stage:
        found = answer(
            path,
            photos or [],
            delegate=Delegate(delegate, library, tpu),
            effort=Effort(threads, repeat, timeout),
            normalization=parse_normalization(mean, std),
            progress=lambda done, total: console.progress("run", done, total),
        )
        stage.detail = found["runtime"]
    if json:
        from json import dumps

        print(dumps(found, indent=2, ensure_ascii=False))
    else:  # names come from the file, and a terminal would obey control characters in them
        print("\n".join([*lines(found), _latency(found)]).translate(CONTROLS))


def _refuse_drawing(path: Path, what: str, **targets: Path | None) -> None:
    """Raises UsageError where a picture is asked for that such a file has not."""
    from edgekit.errors import UsageError

    given = [name for name, target in targets.items() if target is not None]
    if given:
        whose = "segmenters and detectors" if given[0] == "out" else "segmenters"
        raise UsageError(
            f"--{given[0]} is for {whose}",
            cause=f"{path} is a {what}",
            hint="leave it out",
        )


def _box_lines(found: dict[str, Any]) -> Iterator[str]:
    for photo in found["photos"]:
        yield photo["photo"]
        for box in photo["boxes"]:
            name = f"class {box['index']}" if box["label"] is None else box["label"]
            sides = " ".join(f"{box[side]:.0f}" for side in ("left", "top", "right", "bottom"))
            yield f"  {box['score']:8.2%}  {name}  {sides}"
        if not photo["boxes"]:
            yield f"  no box with a score of {found['threshold']:g} or more"
        if photo["drawn"]:
            yield f"  drawn: {photo['drawn']}"
    if found["labels_note"]:
        yield f"labels: {found['labels_note']}"
    yield "boxes are left, top, right and bottom in pixels of the photo"


def _drawn_lines(found: dict[str, Any]) -> Iterator[str]:
    for photo in found["photos"]:
        yield photo["photo"]
        for one in photo["classes"]:
            name = f"class {one['index']}" if one["label"] is None else one["label"]
            yield f"  {one['share']:8.2%}  {name}"
        yield from (
            f"  {what}: {photo[key]}"
            for key, what in (("drawn", "drawn"), ("mask", "mask"))
            if photo[key]
        )
    if found["labels_note"]:
        yield f"labels: {found['labels_note']}"
    yield f"the file gives {found['output']}; shares are of the pixels that it was shown"


def _lines(found: dict[str, Any]) -> Iterator[str]:
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


def _latency(found: dict[str, Any]) -> str:
    from edgekit.system.text import milliseconds

    latency = found["latency_ms"]
    names = ["load", "first", "median", "p5", "p95"]
    if found["delegate"]["library"]:
        names.insert(0, "delegate")
    figures = ", ".join(f"{name} {milliseconds(latency[name])}" for name in names)
    threads = f"{found['threads']} thread{'s' * (found['threads'] != 1)}"
    runs = f"{latency['n']} run{'s' * (latency['n'] != 1)}"
    return f"latency in ms: {figures} ({runs}, {found['delegate']['name']}, {threads})"


def _number(value: float | None) -> str:
    from edgekit.system.text import NOTHING

    return NOTHING if value is None else f"{value:.4f}"
