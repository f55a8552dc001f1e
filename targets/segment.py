"""Draws the classes of photos' pixels with a model file on this host, as `edgekit run` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.converters.segmenter import MapEnd
from edgekit.data.images import Pixels, decode_photo, to_rgb
from edgekit.data.label_files import FittedLabels, fit_labels
from edgekit.data.normalization import Normalization
from edgekit.data.palette import class_colors
from edgekit.data.placement import IGNORED
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.test_image import TEST_PICTURE, draw
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath
from edgekit.targets.measure.isolated import Delegate, Effort
from edgekit.targets.photo_model import open_photo_model
from edgekit.targets.pictures import beside, choose_places, write_picture
from edgekit.tasks.segmentation import overlay
from edgekit.tasks.segmentation.kept import classes_of, keep, resize

SCHEMA_VERSION = 1
ENDING = "-classes.png"


def segment(
    path: StrPath,
    photos: Sequence[StrPath] = (),
    *,
    out: StrPath | None = None,
    mask: StrPath | None = None,
    delegate: Delegate | None = None,
    effort: Effort | None = None,
    normalization: Normalization | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs a segmenter once on each photo, draws, and then measures it on the first.

    Args:
        path: a .tflite, .onnx or .xml file; its metadata says how a photo is prepared, else it is
            stretched.
        photos: of any size; without any, a picture that is drawn.
        out: of the drawing, or a folder for several; by default PHOTO-classes.png where one is.
        mask: of the classes as a PNG of indices with a palette, or a folder for several; nothing
            unless given.
        delegate: of a .tflite file; XNNPACK unless given.
        effort: threads, runs and seconds; see `Effort`.
        normalization: of a float input, where the file does not state it or states it wrongly.
        progress: is called with the runs done and in all.

    Returns:
        JSON values: ``schema_version``, ``task``, ``path``, ``delegate`` (name, library, device),
        ``runtime``, ``threads``, ``output`` ("logits" or "classes"), ``labels_note`` (how the
        file's labels differ from its output, or None), ``photos`` (photo, drawn, mask, and
        classes: index, label or None, share of the pixels) and ``latency_ms`` as `isolated.Answer`
        has it.

    Raises:
        UsageError: the file is no segmenter, a photo or an argument cannot be used, or a drawing
            would overwrite a photo.
        MissingToolError: the runtime of the file is not installed.
        EdgekitError: as `edgekit.targets.measure.isolated.run`.
    """
    delegate, effort = delegate or Delegate(), effort or Effort()
    model = open_photo_model(path)
    task = model.task
    if task.map is None:
        raise UsageError(f"{path} is no segmenter", hint=f"edgekit inspect {path}")
    delegate, how = model.check(normalization, delegate), model.how
    targets = (out or beside(photos), mask)
    places = [choose_places(photos, target, ENDING) for target in targets]
    shown = [np.array(to_rgb(decode_photo(photo))) for photo in photos] or [draw(how.resolution)]
    batch = np.stack([how.pixels(Image.fromarray(pixels)) for pixels in shown])
    answer = model.answer(batch, delegate, effort, normalization, progress)
    labels = labels_of(model.labels, task.map)
    maps = [on_photo(one, pixels, how) for one, pixels in zip(answer.scores, shown, strict=True)]
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task.name,
        "path": str(path),
        "delegate": asdict(delegate) | {"library": delegate.path},
        "runtime": answer.runtime,
        "threads": effort.threads,
        "output": task.map.kind,
        "labels_note": labels.note or model.labels_problem,
        "photos": [
            _drawn(name, pixels, found, drawing, masked, labels.names)
            for name, pixels, found, drawing, masked in zip(
                [str(photo) for photo in photos] or [TEST_PICTURE],
                shown,
                maps,
                *places,
                strict=True,
            )
        ],
        "latency_ms": answer.latency,
    }


def _drawn(
    name: str,
    pixels: Pixels,
    classes: NDArray[np.uint8],
    drawing: Path | None,
    mask: Path | None,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Writes the pictures of one photo, and returns what is said of it."""
    return {
        "photo": name,
        "drawn": write_picture(drawing, partial(_overlay, pixels, classes)),
        "mask": write_picture(mask, partial(_indices, classes)),
        "classes": shares(classes, labels),
    }


def labels_of(labels: tuple[str, ...], found: MapEnd) -> FittedLabels:
    """The names of a map's classes; all that the file has where a pixel has its class."""
    if found.classes is None:
        return FittedLabels(labels)
    return fit_labels(labels, found.classes)


def on_photo(answer: NDArray[Any], pixels: Pixels, how: Preprocessing) -> NDArray[np.uint8]:
    """The class of each pixel of a photo, uint8 [height, width]; 255 where it was not shown.

    Args:
        answer: for the photo: logits [h, w, classes] or classes [h, w] or [h, w, 1].
        pixels: of the photo, uint8 [height, width, 3].
        how: it was prepared.
    """
    classes = classes_of(keep(answer[None]))
    side = how.resolution
    return how.place((pixels.shape[1], pixels.shape[0])).restore(resize(classes, side, side)[0])


def shares(classes: NDArray[np.uint8], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Each class of a map with its share of the pixels that have one; the largest first."""
    counts = np.bincount(classes[classes != IGNORED], minlength=1)
    total = max(int(counts.sum()), 1)
    return [
        {
            "index": int(index),
            "label": labels[index] if index < len(labels) else None,
            "share": float(counts[index] / total),
        }
        for index in np.argsort(-counts, kind="stable")
        if counts[index]
    ]


def _overlay(pixels: Pixels, classes: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(overlay.draw(pixels, classes))


def _indices(classes: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(classes, mode="P")
    image.putpalette(class_colors(IGNORED + 1).tobytes())
    return image
