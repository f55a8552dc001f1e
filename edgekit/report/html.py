"""``report.html``: one file that needs neither a network, nor a script, nor a server."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.report.diagnosis import verdict
from edgekit.report.document import Document, Row, task_of, write_text
from edgekit.system import text as fmt
from edgekit.system.paths import StrPath
from edgekit.tasks.task import Example, Task

if TYPE_CHECKING:
    import numpy as np
    from jinja2 import Environment
    from markupsafe import Markup
    from numpy.typing import NDArray

MAX_PHOTOS = 24
THUMBNAIL = 192  # pixels of height; twice the size on the page, for dense screens
ABREAST = 4  # pictures of one photo
FOLDER = Path(__file__).parent


def write_html(
    document: Document,
    path: StrPath,
    *,
    photos: Sequence[Example] = (),
    total: int | None = None,
    worst: Sequence[Example] = (),
) -> None:
    """Writes the report as one self-contained page, whole or not at all.

    The same document and photos give the same bytes. Everything that came from the user is escaped,
    and the page forbids itself scripts and requests.

    Args:
        document: what ``report.json`` holds.
        path: the file to write.
        photos: what fp32 got right and int8 wrong; the first 24 are shown.
        total: how many such photos there are, where ``photos`` holds only some of them.
        worst: the photos with the highest loss, highest first; the first 24 are shown.

    Raises:
        EdgekitError: the file cannot be written.
    """
    path = Path(path)
    write_text(path, render(document, photos, len(photos) if total is None else total, worst))


def render(
    document: Document, photos: Sequence[Example], total: int, worst: Sequence[Example] = ()
) -> str:
    """Returns the page; see `write_html`."""
    from edgekit.report.curves import draw_run
    from edgekit.report.plots import accuracy_plot
    from edgekit.report.snippet import python_snippet

    task, rows, training = task_of(document), document["rows"], document["training"]
    return (
        _environment(task)
        .get_template("report.html.j2")
        .render(
            doc=document,
            metric=task.metric,
            verdict=verdict(rows, task.metric),
            accuracy=accuracy_plot(rows, task.metric) if len(rows) > 1 else "",
            training=draw_run(training, task.metric) if training else None,
            earlier=[draw_run(run, task.metric) for run in document.get("earlier", [])],
            evaluation=document.get("evaluation"),
            timing=timing(rows),
            photos=[(miss, thumbnail(miss.pixels)) for miss in photos[:MAX_PHOTOS]],
            total=total,
            worst=[(photo, thumbnail(photo.pixels)) for photo in worst[:MAX_PHOTOS]],
            longest=max((s["seconds"] for s in document["stages"] if not s["cached"]), default=0)
            or 1,
            snippet=python_snippet(document),
        )
    )


@functools.cache  # to compile the templates takes longer than all the rest of a page
def _environment(task: Task) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([FOLDER, task.page.folder]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=fmt.percent,
        points=fmt.points,
        nats=fmt.nats,
        size=fmt.size,
        seconds=fmt.seconds,
        ms=fmt.milliseconds,
        temperature=fmt.temperature,
        code=code,
    )
    return environment


def timing(rows: Sequence[Row]) -> str:
    """Says how often and on how many threads the rows were timed, once where all are alike."""
    ways: dict[str, list[str]] = {}
    for row in rows:
        if latency := row["latency_ms"]:
            threads = f"{latency['threads']} thread" + "s" * (latency["threads"] != 1)
            ways.setdefault(f"{latency['n']} warm runs, {threads}", []).append(row["stage"])
    if len(ways) < 2:
        return "".join(ways)
    return "; ".join(f"{', '.join(stages)} {way}" for way, stages in ways.items())


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """Returns a small JPEG of uint8 ``[height, width, 3]`` RGB pixels as a ``data:`` URI."""
    from PIL import Image

    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((ABREAST * THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def code(text: str) -> Markup:
    """Escapes a message and sets what stands between backticks as code."""
    from markupsafe import Markup, escape

    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # an odd backtick marks nothing
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part)
        for i, part in enumerate(parts)
    )
