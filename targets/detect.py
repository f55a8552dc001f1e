"""Draws the boxes of photos with a detector on this host, as `edgekit run` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.converters.file_task import FileTask
from edgekit.data.images import Pixels, decode_photo, to_rgb
from edgekit.data.label_files import fit_labels
from edgekit.data.normalization import Normalization
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.test_image import TEST_PICTURE, draw
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.targets.measure.isolated import Delegate, Effort
from edgekit.targets.photo_model import open_photo_model
from edgekit.targets.pictures import ANY, beside, choose_places, write_picture
from edgekit.tasks.detection.kept import detections_of, keep
from edgekit.tasks.detection.overlay import draw_boxes

SCHEMA_VERSION = 1
ENDING = "-boxes.png"
#: The score from which boxes are shown: below it, a detector means most of them no more.
THRESHOLD = 0.3


def detect(
    path: StrPath,
    photos: Sequence[StrPath] = (),
    *,
    out: StrPath | None = None,
    threshold: float = THRESHOLD,
    delegate: Delegate | None = None,
    effort: Effort | None = None,
    normalization: Normalization | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs a detector once on each photo, draws, and then measures it on the first.

    Args:
        path: a .tflite, .onnx or .xml file; its metadata says how a photo is prepared, else it is
            stretched.
        photos: of any size; without any, a picture that is drawn.
        out: of the drawing, or a folder for several; by default PHOTO-boxes.png where one is.
        threshold: the lowest score of a box that is drawn and listed.
        delegate: of a .tflite file; XNNPACK unless given.
        effort: threads, runs and seconds; see `Effort`.
        normalization: of a float input, where the file does not state it or states it wrongly.
        progress: is called with the runs done and in all.

    Returns:
        JSON values: ``schema_version``, ``task``, ``path``, ``delegate`` (name, library, device),
        ``runtime``, ``threads``, ``output`` ("boxes", or "raw" where they were decoded here),
        ``threshold``, ``labels_note`` (how the file's labels differ from its output, or None),
        ``photos`` (photo, drawn, and boxes, the best first: index, label or None, score, and top,
        left, bottom and right in pixels of the photo) and ``latency_ms`` as `isolated.Answer` has
        it.

    Raises:
        UsageError: the file is no detector or its anchors are not known, a photo or an argument
            cannot be used, or a drawing would overwrite a photo.
        MissingToolError: the runtime of the file is not installed.
        EdgekitError: as `edgekit.targets.measure.isolated.run`.
    """
    delegate, effort = delegate or Delegate(), effort or Effort()
    model = open_photo_model(path)
    task = model.task
    classes = classes_in(task)
    if classes is None:
        raise UsageError(f"{path} is no detector", hint=f"edgekit inspect {path}")
    delegate, how = model.check(normalization, delegate), model.how
    places = choose_places(photos, out or beside(photos), ENDING, ANY)
    shown = [np.array(to_rgb(decode_photo(photo))) for photo in photos] or [draw(how.resolution)]
    batch = np.stack([how.pixels(Image.fromarray(pixels)) for pixels in shown])
    answer = model.answer(batch, delegate, effort, normalization, progress)
    labels = fit_labels(model.labels, classes)
    found = find_boxes(answer.scores, task, how)
    names = [str(photo) for photo in photos] or [TEST_PICTURE]
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task.name,
        "path": str(path),
        "delegate": asdict(delegate) | {"library": delegate.path},
        "runtime": answer.runtime,
        "threads": effort.threads,
        "output": "boxes" if task.boxes else "raw",
        "threshold": threshold,
        "labels_note": labels.note or model.labels_problem,
        "photos": [
            _drawn(name, pixels, on_photo(rows, pixels, how, threshold), place, labels.names)
            for name, pixels, rows, place in zip(names, shown, found, places, strict=True)
        ],
        "latency_ms": answer.latency,
    }


def classes_in(task: FileTask) -> int | None:
    """How many classes a detector knows; None of any other file."""
    if task.boxes is not None:
        return task.boxes.classes
    return task.rows.columns[-1] if task.rows is not None else None


def find_boxes(answers: NDArray[Any], task: FileTask, how: Preprocessing) -> NDArray[np.float32]:
    """The boxes of photos, float32 [n, rows, 6], in fractions of the input.

    Args:
        answers: of a detector, as `edgekit.runtimes.base.Classifier.run` gives them.
        task: what the file answers with.
        how: photos were prepared; with the anchors where the answers are relative to some.

    Raises:
        UsageError: the answers are relative to anchors, and nothing says to which.
    """
    if task.boxes is not None:
        return np.asarray(answers, np.float32)
    return detections_of(keep(answers, how))


def on_photo(
    rows: NDArray[np.float32], pixels: Pixels, how: Preprocessing, threshold: float
) -> NDArray[np.float32]:
    """The boxes of one photo from a score on, in its pixels, float32 [k, 6].

    Args:
        rows: float32 [rows, 6]: top, left, bottom, right in fractions of the input, score, class.
        pixels: of the photo, uint8 [height, width, 3].
        how: it was prepared.
        threshold: the lowest score.
    """
    best = rows[(rows[:, 4] >= threshold) & (rows[:, 4] > 0)]
    height, width = pixels.shape[:2]
    corners = how.place((width, height)).boxes_out(best[:, :4]).clip(0, [height, width] * 2)
    return np.concatenate([corners, best[:, 4:]], axis=1).astype(np.float32)


def _drawn(
    name: str,
    pixels: Pixels,
    rows: NDArray[np.float32],
    place: Path | None,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Writes the picture of one photo, and returns what is said of it."""
    return {
        "photo": name,
        "drawn": write_picture(place, partial(_overlay, pixels, rows, labels)),
        "boxes": [
            {
                "index": int(row[5]),
                "label": labels[int(row[5])] if int(row[5]) < len(labels) else None,
                "score": float(row[4]),
                **{
                    side: float(value)
                    for side, value in zip(("top", "left", "bottom", "right"), row, strict=False)
                },
            }
            for row in rows
        ],
    }


def _overlay(pixels: Pixels, rows: NDArray[np.float32], labels: Sequence[str]) -> Image.Image:
    drawn = draw_boxes(pixels, rows[:, :4], rows[:, 5].astype(int), labels, rows[:, 4])
    return Image.fromarray(drawn)
