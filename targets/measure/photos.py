"""The photos that a device answers in a measurement, and the class of each where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.classifier import count_classes
from edgekit.converters.file_task import OF_MAPS, OF_ROWS, tflite_task
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.detections import loses_a_class
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.converters.tflite.metadata import Metadata, read_metadata
from edgekit.data.boxes.annotations import BoxLayout
from edgekit.data.boxes.measured import boxes_to_measure, layout_to_measure
from edgekit.data.class_names import canonical
from edgekit.data.image_set import PhotoSet
from edgekit.data.images import Pixels, decode_photo
from edgekit.data.label_files import FittedLabels, fit_labels
from edgekit.data.normalization import Normalization
from edgekit.data.photo_files import PhotoFile
from edgekit.data.preprocessing import DEFAULT_TASK, Preprocessing
from edgekit.data.selection import evenly
from edgekit.data.sources import list_to_measure
from edgekit.data.test_image import draw
from edgekit.errors import UsageError
from edgekit.runtimes.litert import check_normalization, feed_table
from edgekit.system.paths import StrPath
from edgekit.system.threads import ordered_map
from edgekit.targets.detect import classes_in
from edgekit.targets.measure.device import Job, Progress
from edgekit.targets.measure.isolated import read_image_model
from edgekit.targets.measure.masked import in_order_of, masked_set
from edgekit.targets.photo_model import preparation
from edgekit.tasks.registry import find_task

#: Of a file for which `loses_a_class` holds.
LOST = "with n threads, TFLite leaves out the boxes of class n of this file: measure with one"
UNNAMED = "classes are compared by their numbers: nothing names them"


@dataclass(frozen=True)
class Photos:
    """Photos as the model takes them.

    Attributes:
        source: where they are from.
        pixels: uint8 [n, height, width, 3], RGB.
        truth: the labels of the task: the class of each, int64 [n], or masks, uint8
            [n, height, width], or what `Task.labels` gives; None where there are none.
        task: what the model is for; empty where its outputs mean something else.
        note: why there is no truth, or how the labels differ from the output; None where all fits.
        preprocessing: how they were prepared; None where that is not known.
    """

    source: str
    pixels: Pixels
    truth: npt.NDArray[Any] | None = None
    task: str = DEFAULT_TASK
    note: str | None = None
    preprocessing: Preprocessing | None = None


def load_photos(
    path: StrPath,
    data: StrPath | None,
    limit: int | None,
    progress: Progress | None = None,
    *,
    photos: StrPath | None = None,
) -> Photos:
    """Prepares photos as a model's metadata says.

    Args:
        path: the .tflite file.
        data: a folder of class folders, or a list of paths; of a segmenter, a folder of photos
            with masks; of a detector, photos with boxes in a layout that a build takes, or without;
            None for the drawn test picture.
        limit: how many of them, evenly spread; None for all.
        progress: is called as they are read.
        photos: the folder of the photos, where ``data`` is a file of their boxes.

    Raises:
        UsageError: a photo cannot be read or has no class of the file.
    """
    path = Path(path)
    model = read_image_model(path)
    found = _load(path, model, data, limit, progress, photos)
    if not loses_a_class(model):
        return found
    return replace(found, note="; ".join(filter(None, [found.note, LOST])))


def _load(
    path: Path,
    model: TFLiteModel,
    data: StrPath | None,
    limit: int | None,
    progress: Progress | None,
    photos: StrPath | None,
) -> Photos:
    metadata = read_metadata(path)
    task = tflite_task(model, metadata)
    height, width = model.tensors[model.inputs[0]].shape[1:3]
    if height != width and task.name:
        raise UsageError(f"{path} does not take square photos", cause=f"{height} x {width} pixels")
    note = None if task.name else f"{path.name} is no image classifier: {task.problem}"
    how = preparation(metadata, height, task.name or DEFAULT_TASK)
    classes = classes_in(task)
    labels = fit_labels(metadata.labels, classes or 0)
    if classes is not None and not how.labels:
        how = replace(how, labels=labels.names or tuple(map(str, range(classes))))
    if classes is None:
        refuse_photos(path, photos)
    if data is None:
        drawn = draw(height, width)[None]
        return Photos("test picture", drawn, task=task.name, note=note, preprocessing=how)
    if task.map is not None:
        return _masked(Path(data), limit, path, how, metadata.labels, progress)
    if classes is not None:
        layout = layout_to_measure(data, photos)
        if layout is not None:
            return _boxed(layout, data, limit, how, labels, progress)
        note = "photos in folders have no boxes: answers are compared with the host's alone"
    found = _in_folders(path, data, limit, how, model, metadata, note, progress)
    return found if classes is None else replace(found, task=task.name)


def refuse_photos(path: StrPath, photos: StrPath | None) -> None:
    """Raises UsageError where a folder of photos is given to a file that is no detector."""
    if photos is not None:
        raise UsageError(
            f"--photos {photos} was given, and {path} is no detector",
            cause="it is the folder of the photos where --data is a file of their boxes",
            hint="leave --photos out",
        )


def _masked(
    data: Path,
    limit: int | None,
    path: Path,
    how: Preprocessing,
    labels: Sequence[str],
    progress: Progress | None,
) -> Photos:
    """Photos with masks, in the order of their names."""
    found = masked_set(data)
    chosen, pixels = _read(found.photos, limit, how, progress)
    truth = in_order_of(path, find_task(OF_MAPS).labels(chosen, how), found.labels, labels)
    note = None if found.labels and labels else UNNAMED
    return Photos(str(data), pixels, truth, OF_MAPS, note, how)


def _boxed(
    layout: BoxLayout,
    data: StrPath,
    limit: int | None,
    how: Preprocessing,
    labels: FittedLabels,
    progress: Progress | None,
) -> Photos:
    """Photos with boxes, in the order of their annotations."""
    found, _ = boxes_to_measure(layout, data, labels.names)
    chosen, pixels = _read(found, limit, how, progress)
    truth = find_task(OF_ROWS).labels(chosen, how)
    note = labels.note or (None if labels.names else UNNAMED)
    return Photos(str(data), pixels, truth, OF_ROWS, note, how)


def _read(
    photos: PhotoSet, limit: int | None, how: Preprocessing, progress: Progress | None
) -> tuple[PhotoSet, Pixels]:
    """So many of the photos, and what a model is given of them."""
    if limit is not None:
        photos = photos.subset(evenly(len(photos), limit))
    pixels = np.empty((len(photos), how.resolution, how.resolution, 3), np.uint8)
    loaded = ordered_map(
        lambda k: how.pixels(photos.load(k)), range(len(photos)), workers=4, ahead=16
    )
    for k, photo in enumerate(loaded):
        pixels[k] = photo
        if progress:
            progress("read photos", k + 1, len(photos))
    return photos, pixels


def _in_folders(
    path: Path,
    data: StrPath,
    limit: int | None,
    how: Preprocessing,
    model: TFLiteModel,
    metadata: Metadata,
    note: str | None,
    progress: Progress | None,
) -> Photos:
    """Photos in class folders, or in any where ``note`` says why their classes do not matter."""
    files = list_to_measure(data, classes=not note).files
    height, width = model.tensors[model.inputs[0]].shape[1:3]
    known, task = None, "" if note else DEFAULT_TASK
    if task:
        known, note = _classes(path, model, files, metadata)
    if limit is not None and limit < len(files):
        files = tuple(files[k] for k in evenly(len(files), limit))
    pixels = np.empty((len(files), height, width, 3), np.uint8)

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
    return Photos(str(data), pixels, truth, task, note, how)


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
