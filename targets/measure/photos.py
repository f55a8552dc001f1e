"""The photos that a device answers in a measurement, and the class of each where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.classifier import count_classes, tflite_problem
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.converters.tflite.metadata import Metadata, read_metadata
from edgekit.data.class_names import canonical
from edgekit.data.folders import PhotoFile
from edgekit.data.images import Pixels, decode_photo
from edgekit.data.label_files import fit_labels
from edgekit.data.normalization import Normalization
from edgekit.data.sources import list_to_measure
from edgekit.data.test_image import draw
from edgekit.errors import UsageError
from edgekit.runtimes.litert import check_normalization, feed_table
from edgekit.system.paths import StrPath
from edgekit.system.threads import ordered_map
from edgekit.targets.classify import preparation
from edgekit.targets.measure.device import Job, Progress
from edgekit.targets.measure.isolated import read_image_model
from edgekit.tasks.registry import find_task


@dataclass(frozen=True)
class Photos:
    """Photos as the model takes them.

    Attributes:
        source: where they are from.
        pixels: uint8 [n, height, width, 3], RGB.
        truth: int64 [n], the class of each; None where they have none.
        classifies: whether the largest output is an answer.
        note: why there is no truth, or how the labels differ from the output; None where all fits.
    """

    source: str
    pixels: Pixels
    truth: npt.NDArray[np.int64] | None = None
    classifies: bool = True
    note: str | None = None


def spread(photos: int, limit: int) -> list[int]:
    """Numbers of so many photos, evenly spread."""
    return [int(k) for k in np.linspace(0, photos - 1, min(limit, photos))]


def load_photos(
    path: StrPath, data: StrPath | None, limit: int | None, progress: Progress | None = None
) -> Photos:
    """Prepares photos as a model's metadata says.

    Args:
        path: the .tflite file.
        data: a folder of class folders, or a list of paths; None for the drawn test picture.
        limit: how many of them, evenly spread; None for all.
        progress: is called as they are read.

    Raises:
        UsageError: the file is no classifier, or a photo cannot be read or has no class of it.
    """
    path = Path(path)
    data = Path(data) if data is not None else None
    model, metadata = read_image_model(path), read_metadata(path)
    height, width = model.tensors[model.inputs[0]].shape[1:3]
    problem = tflite_problem(model, metadata)
    if height != width and not problem:
        raise UsageError(f"{path} does not take square photos", cause=f"{height} x {width} pixels")
    note = problem and f"{path.name} is no image classifier: {problem}"
    if data is None:
        pixels = draw(height, width)[None]
        return Photos("test picture", pixels, classifies=not problem, note=note)
    files = list_to_measure(data).files
    known = None
    if not problem:
        known, note = _classes(path, model, files, metadata)
    if limit is not None and limit < len(files):
        files = tuple(files[k] for k in spread(len(files), limit))
    pixels = np.empty((len(files), height, width, 3), np.uint8)
    how = preparation(metadata, height)

    def read(file: PhotoFile) -> Pixels:
        photo = decode_photo(file.path)
        if height != width:
            return np.array(photo.convert("RGB").resize((width, height)))
        return how.pixels(photo)

    for k, photo in enumerate(ordered_map(read, files, workers=4, ahead=16)):
        pixels[k] = photo
        if progress:
            progress("read photos", k + 1, len(files))
    truth = None
    if known is not None:
        truth = np.array([known.index(file.label) for file in files], np.int64)
    return Photos(str(data), pixels, truth, not problem, note)


def _classes(
    path: Path, model: TFLiteModel, files: Sequence[PhotoFile], metadata: Metadata
) -> tuple[list[str] | None, str | None]:
    """The class names in the order of the outputs: the file's, else the folders where they suit.

    Returns:
        The names, or None where it is not known which class is which; and a note on the labels.
    """
    names = sorted({file.label for file in files})
    count = count_classes(model.tensors[model.outputs[0]]) or 0
    labels = fit_labels(metadata.labels, count)
    if not labels.names:
        if not metadata.labels and not metadata.labels_problem and len(names) == count:
            return names, None
        cause = labels.note or metadata.labels_problem or f"{path.name} has no labels"
        name = find_task(preparation(metadata, 1).task).metric.name
        return None, f"no {name}: {cause}; {len(names)} folders for {count} classes"
    known = [canonical(name) for name in labels.names]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"{path} has no class '{unknown[0]}'",
            cause=f"the photos are of {', '.join(names[:5])}, the file knows "
            f"{', '.join(known[:5])}",
            hint="give photos of the classes that it was trained on",
        )
    return known, labels.note


def make_job(
    path: StrPath, photos: Photos, *, normalization: Normalization | None = None, **settings: Any
) -> Job:
    """What is measured of a file; further settings are those of `Job`.

    Args:
        path: of the .tflite file.
        photos: what it is given.
        normalization: of a float input whose file does not state it.
        settings: of `Job`.
    """
    path = Path(path)
    model = tflite_file.read(path)
    image = model.tensors[model.inputs[0]]
    check_normalization(path, image, normalization)
    return Job(path, model, photos.pixels, feed_table(image, path, normalization), **settings)
