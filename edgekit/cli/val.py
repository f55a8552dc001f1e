"""``edgekit val FILE --data PHOTOS``: how well a finished file answers, beside another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.options import Json
from edgekit.errors import GateError, UsageError

if TYPE_CHECKING:
    from edgekit.bench.validation import Material, Subject
    from edgekit.report.comparison import Paired
    from edgekit.tasks.task import Metric


def command(
    file: Annotated[
        Path, typer.Argument(help="A .tflite, .onnx or .xml file, or the folder of a run.")
    ],
    data: Annotated[
        str, typer.Option(help="Photos with labels: of a data set, its validation part.")
    ],
    against: Annotated[
        Path | None,
        typer.Option(help="Another such file, or a run: is FILE worse?", show_default=False),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Points of accuracy that FILE may have less than --against; else it ends with 5.",
            show_default=False,
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="The photos of --data, a file of their boxes.", metavar="FOLDER"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="So many of --data, evenly spread.", min=1)
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the runtimes.")] = 1,
    json: Json = False,
) -> None:
    """Measure a finished file on photos, and compare it with another on the same ones.

    The comparison is paired: only photos that one answers right and the other wrong tell the two
    apart, and the interval of the difference is theirs. Both are fed as they say themselves.
    """
    from edgekit.bench import validation as work
    from edgekit.report.comparison import Paired
    from edgekit.system.console import Console

    if max_drop is not None and against is None:
        raise UsageError("--max-drop is of two files", hint="--against FILE")
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise UsageError(f"--max-drop must be from 0 to 100, not {max_drop:g}")
    if threads < 1:
        raise UsageError(f"--threads must be at least 1, not {threads}")
    console = Console()
    subjects = [work.open_subject(path) for path in (against, file) if path is not None]
    material = work.find_material(subjects[0], data, photos=photos, limit=limit)
    if material.note:
        console.note(material.note)
    outputs: list[Any] = []
    for number, subject in enumerate(subjects, 1):
        with console.stage(number, len(subjects), f"validate {subject.path.name}") as stage:
            outputs.append(
                work.validate(
                    subject,
                    material,
                    threads,
                    lambda done, total: console.progress("validate", done, total),
                )
            )
            stage.detail = f"{len(material.photos):,} photos"
    rows = [work.measure_subject(subjects[0], material, outputs[0], None)]
    found = None
    if against is not None:
        rows.append(work.measure_subject(subjects[1], material, outputs[1], outputs[0]))
        found = Paired.of(rows[1])
    metric = subjects[0].task.metric
    if json:
        from json import dumps

        print(dumps(_document(subjects, rows, material, found), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(subjects, rows, material, found, metric)))
    if found is not None and max_drop is not None and found.drop_pp > max_drop:
        raise GateError(
            f"{subjects[1].path.name} has {found.drop_pp:.2f} points of {metric.name} less, and "
            f"{max_drop:g} are allowed",
            cause=f"beside {subjects[0].path.name}, on {len(material.photos):,} photos"
            + ("" if found.is_beyond_noise else "; that is within the noise of so few"),
            hint="a better file, more photos, or a larger --max-drop",
        )


def _document(
    subjects: list[Subject],
    rows: list[dict[str, Any]],
    material: Material,
    found: Paired | None,
) -> dict[str, Any]:
    files = [
        {"path": str(subject.path), "scheme": subject.about.scheme, **_plain(row)}
        for subject, row in zip(subjects, rows, strict=True)
    ]
    return {
        "schema_version": 1,
        "task": subjects[0].task.name,
        "photos": material.source,
        "n": len(material.photos),
        "file": files[-1],
        "against": files[0] if found else None,
        "comparison": None if found is None else found.to_dict(),
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Figures as JSON values."""
    return {
        name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()
    }


def _lines(
    subjects: list[Subject],
    rows: list[dict[str, Any]],
    material: Material,
    found: Paired | None,
    metric: Metric,
) -> list[str]:
    """A row for each file, and a sentence on the difference."""
    from edgekit.system.text import percent

    width = max(len(subject.path.name) for subject in subjects)
    lines = [f"{'file':<{width}}  {metric.name + ' %':>10}  95 % interval"]
    for subject, row in zip(subjects, rows, strict=True):
        low, high = metric.interval(row)
        lines.append(
            f"{subject.path.name:<{width}}  {percent(metric.value(row)):>10}  "
            f"{percent(low)} to {percent(high)}"
        )
    if found is None:
        return lines
    name = subjects[1].path.name
    return [*lines, found.sentence(name, metric.name, len(material.photos))]
