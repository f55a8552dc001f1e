"""``edgekit init PHOTOS``: a file of options that ``edgekit build`` takes in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.errors import UsageError
from edgekit.options.files import OPTIONS_FILE

if TYPE_CHECKING:
    from edgekit.data.splits import Splits
    from edgekit.tasks.task import Task

#: Names of classes that are shown.
SHOWN = 8


def command(
    photos: Annotated[
        str | None,
        typer.Argument(
            help="Your photos, as `edgekit build --data` takes them.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The variant. [by the photos]", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="The file.")] = Path(OPTIONS_FILE),
) -> None:
    """Write edgekit.toml for a folder of photos: every option, with what it does.

    `edgekit build` and `edgekit train` take the file in the folder in which they are called; what
    is on their command line overrides it.
    """
    from edgekit.options.files import template
    from edgekit.system.console import Console
    from edgekit.targets import registry

    console, about = Console(), "The built-in shapes."
    values: dict[str, Any] = {"model": model or "lite0"}
    if photos is not None:
        task, splits = _look_at(photos)
        values = {"model": model or task.usual_model, "data": photos}
        about = _describe(task, splits)
        for warning in splits.warnings:
            console.warn(warning)
    values |= {"targets": ["tflite"]}
    text = f"Options of edgekit build, which takes them in this folder.\n{about}\n"
    text = template(values, f"{text}What is commented out is left to edgekit.")
    _write(out, text.replace("{targets}", ", ".join(registry.OWN)))
    console.note(f"{out}: {about}")
    console.footer([f"edgekit build{'' if out.name == OPTIONS_FILE else ' MODEL'}"])


def _write(path: Path, text: str) -> None:
    """Writes a file that is not there yet."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already", hint="edit it, or name another --out"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot write {path}", cause=error.strerror) from error


def _look_at(photos: str) -> tuple[Task, Splits]:
    """What the photos are of: the first task, of those with the most to say, that reads them."""
    from edgekit.data.splits import Wanted
    from edgekit.tasks.registry import find_task, task_names

    problems: list[UsageError] = []
    for name in reversed(task_names()):  # maps and boxes come with photos; classes are last
        task = find_task(name)
        try:
            return task, task.find_splits(Wanted(data=photos))
        except UsageError as error:
            problems.append(error)
    raise problems[-1]


def _describe(task: Task, splits: Splits) -> str:
    """The photos in a sentence."""
    labels: list[Any] = list(splits.labels)
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    named = ", ".join(map(str, labels[:SHOWN])) + more
    counts = f"{len(splits.train):,} photos to learn from and {len(splits.val):,} to check on"
    return f"For {task.name}: {counts}; {len(labels)} classes: {named}."
