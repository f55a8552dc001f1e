"""How well a finished file answers for photos, beside another file on the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.converters.file_task import OF_MAPS, OF_ROWS
from edgekit.converters.model_files import About
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.boxes.measured import boxes_to_measure, layout_to_measure
from edgekit.data.class_names import canonical, some_names
from edgekit.data.image_set import PhotoSet
from edgekit.data.label_files import fit_labels
from edgekit.data.photo_files import FilePhotos
from edgekit.data.preprocessing import DEFAULT_TASK, Preprocessing
from edgekit.data.selection import evenly
from edgekit.data.sources import list_to_measure
from edgekit.errors import UsageError
from edgekit.runtimes.open import find_runtime
from edgekit.runtimes.predict import predict_file
from edgekit.system.paths import StrPath
from edgekit.targets.deploy.model import find_source
from edgekit.targets.detect import classes_in
from edgekit.targets.measure.masked import in_order_of, masked_set
from edgekit.targets.measure.photos import UNNAMED, refuse_photos
from edgekit.targets.photo_model import preparation
from edgekit.tasks.registry import find_task
from edgekit.tasks.task import Task

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Subject:
    """A file that is validated.

    Attributes:
        path: of it.
        about: what it says of itself.
        preprocessing: how it wants its photos.
        labels: names of its classes; empty where nothing names them.
    """

    path: Path
    about: About
    preprocessing: Preprocessing
    labels: tuple[str, ...]

    @property
    def task(self) -> Task:
        """What it is for."""
        return find_task(self.preprocessing.task)


@dataclass(frozen=True, eq=False)
class Material:
    """Photos that files are validated on.

    Attributes:
        photos: in the order of their names.
        truth: the labels of the task in the classes of the first file.
        labels: names of these classes; empty where nothing names them.
        source: where they are from.
        note: what one should know of the labels; None where all fits.
    """

    photos: PhotoSet
    truth: Any
    labels: tuple[str, ...]
    source: str
    note: str | None = None


def open_subject(path: StrPath) -> Subject:
    """Reads what a file wants and knows.

    Args:
        path: of a .tflite, .onnx or .xml file; or of a run, whose int8 .tflite file is meant.

    Raises:
        UsageError: it does not exist, has no task, or does not say how its photos are prepared.
        MissingToolError: its runtime is not installed.
    """
    path = find_source(path).path
    runtime = find_runtime(path)
    about: About = runtime.use(runtime.about)(path)
    if not about.task.name:
        raise UsageError(f"{path} cannot be validated", cause=about.task.problem)
    how, labels = about.preprocessing, about.preprocessing.labels if about.preprocessing else ()
    if path.suffix.lower() == ".tflite":
        from edgekit.converters.tflite import file as tflite_file

        metadata, model = read_metadata(path), tflite_file.read(path)
        how = preparation(metadata, model.tensors[model.inputs[0]].shape[1], about.task.name)
        labels = metadata.labels or labels
    if how is None:
        raise UsageError(
            f"{path} does not say how photos are prepared for it",
            cause="an error in that looks like a bad network",
            hint="a file of `edgekit build`, which says it",
        )
    count = classes_in(about.task) or 0  # of a detector, which is answered for by numbers, too
    names = tuple(labels) or how.labels or tuple(map(str, range(count)))
    how = replace(how, task=about.task.name, labels=names)
    return Subject(path, about, how, tuple(labels))


def find_material(
    subject: Subject,
    data: StrPath,
    *,
    photos: StrPath | None = None,
    limit: int | None = None,
) -> Material:
    """Finds the photos that a file is validated on.

    Args:
        subject: the file.
        data: a folder of class folders or a list of paths; of a segmenter photos with masks; of a
            detector photos with boxes, in a layout that a build takes. Of splits the validation
            part.
        photos: the folder of the photos, where ``data`` is a file of their boxes.
        limit: how many, evenly spread; None for all.

    Raises:
        UsageError: they have no labels, or a class that the file does not know.
    """
    found, labels = _FIND[subject.preprocessing.task](subject, data, photos)
    if limit is not None:
        found = found.subset(evenly(len(found), limit))
    known = subject.preprocessing.labels or tuple(labels)
    truth = subject.task.labels(found, replace(subject.preprocessing, labels=known))
    if isinstance(truth, np.ndarray) and truth.dtype == np.uint8:  # masks
        truth = in_order_of(subject.path, truth, labels, subject.labels)
    note = None if subject.labels and labels else UNNAMED
    return Material(found, truth, known, str(data), note)


def validate(subject: Subject, material: Material, threads: int, advance: Advance) -> NDArray[Any]:
    """What the file answers for all photos, as its task keeps it.

    Args:
        subject: the file.
        material: the photos.
        threads: of the runtime.
        advance: is called with the photos done, and all of them.

    Raises:
        UsageError: its classes are others than those of the photos' first file.
    """
    mine, its = subject.labels, material.labels
    if mine and its and not material.note and [*map(canonical, mine)] != [*map(canonical, its)]:
        raise UsageError(
            f"{subject.path} has other classes",
            cause=f"{some_names(mine)} there, {some_names(its)} here",
            hint="compare files of one data set",
        )
    return predict_file(subject.path, material.photos, subject.preprocessing, threads, advance)


def measure_subject(
    subject: Subject, material: Material, outputs: NDArray[Any], reference: NDArray[Any] | None
) -> dict[str, Any]:
    """The figures of a file, as `edgekit.tasks.task.Task.measure` has them.

    Args:
        subject: the file.
        material: the photos.
        outputs: what it answered for them.
        reference: what another file answered; None without one.
    """
    return subject.task.measure(outputs, material.truth, reference)


def _of_classes(
    subject: Subject, data: StrPath, photos: StrPath | None
) -> tuple[PhotoSet, Sequence[str]]:
    refuse_photos(subject.path, photos)
    listing = list_to_measure(data)
    found = listing.classes()
    known = fit_labels(subject.labels, len(subject.labels)).names or found
    names = [canonical(name) for name in known]
    if unknown := [name for name in found if name not in names]:
        raise UsageError(
            f"{subject.path} has no class '{unknown[0]}'",
            cause=f"the photos are of {some_names(found)}, the file knows {some_names(names)}",
            hint="give photos of the classes that it was trained on",
        )
    files = listing.files
    labels = np.array([names.index(file.label) for file in files], np.int64)
    places, shown = tuple(file.place for file in files), tuple(file.name for file in files)
    return FilePhotos(places, shown, labels, ("",) * len(files)), known


def _of_maps(
    subject: Subject, data: StrPath, photos: StrPath | None
) -> tuple[PhotoSet, Sequence[str]]:
    refuse_photos(subject.path, photos)
    found = masked_set(data)
    return found.photos, found.labels


def _of_boxes(
    subject: Subject, data: StrPath, photos: StrPath | None
) -> tuple[PhotoSet, Sequence[str]]:
    layout = layout_to_measure(data, photos)
    if layout is None:
        raise UsageError(
            f"{data} holds no photos with boxes", hint="a layout that `edgekit build` takes"
        )
    names = fit_labels(subject.labels, classes_in(subject.about.task) or 0).names
    return boxes_to_measure(layout, data, names)


#: Photos with what is known of them, and the names of their classes, by the task.
_FIND: dict[str, Callable[[Subject, StrPath, StrPath | None], tuple[PhotoSet, Sequence[str]]]] = {
    DEFAULT_TASK: _of_classes,
    OF_MAPS: _of_maps,
    OF_ROWS: _of_boxes,
}
