"""What is deployed: the file of a run, all that a program needs to know of it, and a photo."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.classifier import PROBABILITY, count_classes, output_kind, refuse
from edgekit.converters.file_task import OF_ROWS, FileTask
from edgekit.converters.segmenter import MOST_CLASSES, MapEnd
from edgekit.converters.tflite.file import Tensor, TFLiteModel
from edgekit.converters.tflite.metadata import Metadata
from edgekit.data.images import Pixels
from edgekit.data.label_files import fit_labels
from edgekit.data.normalization import Normalization
from edgekit.data.palette import class_colors
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.runs import REPORT, model_file, open_run
from edgekit.runtimes.litert import check_normalization, feed_table
from edgekit.system.files import read_json
from edgekit.system.hashing import hash_file
from edgekit.system.paths import StrPath
from edgekit.targets import registry
from edgekit.targets.base import Target
from edgekit.targets.deploy.boxes import of_detector
from edgekit.targets.detect import classes_in, find_boxes
from edgekit.targets.measure import isolated as runner
from edgekit.targets.photo_model import preparation

FORMAT = "edgekit-deploy"
SCHEMA_VERSION = 1
RECORD = "model.json"
OUTPUT_TYPES = ("uint8", "int8", "float32")
CLASS_TYPES = ("uint8", "int16", "int32", "int64")
PHOTOS = 4  # of the validation photos that are tried as the check's photo


@dataclass(frozen=True)
class Source:
    """A .tflite file and what its run says about it.

    Attributes:
        path: the file.
        run: the run's folder; None for a file by itself.
        report: the run's ``report.json``; empty without one.
        normalization: of a float input whose file does not state it.
    """

    path: Path
    run: Path | None
    report: dict[str, Any]
    normalization: Normalization | None = None

    @property
    def title(self) -> str:
        """The model's name for a folder: letters, digits, dots, hyphens and underscores."""
        name = str(self.report.get("model") or self.path.stem)
        return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"

    @cached_property
    def model(self) -> TFLiteModel:
        """The file, read."""
        return runner.read_image_model(self.path)

    @property
    def image(self) -> Tensor:
        """The file's input."""
        return self.model.tensors[self.model.inputs[0]]

    @property
    def scores(self) -> Tensor:
        """The file's output."""
        return self.model.tensors[self.model.outputs[0]]

    @cached_property
    def target(self) -> Target | None:
        """Whose compiler has made it; None where none has."""
        return registry.compiled_for(self.model)

    @property
    def reference(self) -> Path | None:
        """The file whose answers this host can give: itself, or what it was compiled from."""
        return self.target.source_of(self.path) if self.target else self.path


def find_source(
    run: StrPath, file: str | None = None, normalization: Normalization | None = None
) -> Source:
    """Finds the file of a run, its int8 one unless another is named.

    Args:
        run: a run's folder, or a .tflite file.
        file: the name of a file in the folder.
        normalization: of a float input whose file does not state it.

    Raises:
        UsageError: there is no such file.
    """
    run = Path(run)
    if not run.is_dir():
        if file:
            raise UsageError("--file names a file of a run", cause=f"{run} is no folder")
        return Source(run, None, {}, normalization)
    try:
        report = read_json(run / REPORT)
        listed = [str(entry["path"]) for entry in report["files"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        if file is None:
            raise UsageError(
                f"{run} holds no finished run",
                cause=f"its report.json cannot be read: {error}",
                hint="give the folder that `edgekit build` wrote, or a .tflite file",
            ) from error
        report, listed = {}, []
    name = file or model_file(listed)
    if name is None:
        raise UsageError(f"{run} holds no .tflite file")
    if not (run / name).is_file():
        known = [path.name for path in run.glob("*.tflite")]
        hint = did_you_mean(name, known) if known else None
        raise UsageError(f"{run} holds no file '{name}'", hint=hint)
    return Source(run / name, run, report, normalization)


@dataclass(frozen=True)
class Description:
    """What a program must know to answer with a file.

    Attributes:
        task: what the file is for, a package of `edgekit.tasks`.
        preprocessing: how a photo becomes pixels.
        labels: a name for each class.
        labels_note: how the file's labels differ from its output; None where they fit.
        record: what ``model.json`` holds, without the names of the files.
    """

    task: str
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    labels_note: str | None
    record: dict[str, Any]


def describe(source: Source) -> Description:
    """Reads from a file, and from its run where the file is silent, how it is used.

    Raises:
        UsageError: it is neither a classifier nor a segmenter or detector of square photos, or its
            types cannot be fed or read.
    """
    _, metadata, task = runner.read_answering(source.path)
    if source.report.get("output") == "embedding":
        refuse(source.path, "it answers with an embedding, not classes")
    has_classes = task.map is not None and task.map.classes is None
    if source.scores.dtype not in (CLASS_TYPES if has_classes else OUTPUT_TYPES):
        raise UsageError(f"{source.path} answers in {source.scores.dtype}")
    check_normalization(source.path, source.image, source.normalization)
    side = source.image.shape[1]
    preprocessing = _preprocessing(source, metadata, side, task)
    labels, note = _labels(source, metadata, task)
    record = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "file": source.path.name,
        "sha256": hash_file(source.path),
        "size": side,
        "crop_fraction": preprocessing.crop_fraction,
        "interpolation": preprocessing.interpolation,
        "input": _feeding(source, metadata),
        "output": {
            "dtype": source.scores.dtype,
            "scale": source.scores.scale,
            "zero_point": source.scores.zero_point,
            "classes": len(labels),
            "kind": _kind_of(task) or _kind(source, metadata),
        },
        "delegate": source.target.name if source.target else None,
        "labels": list(labels),
        **(_of_map(task.map, preprocessing, labels) if task.map else {}),
    }
    if classes_in(task) is not None:
        record |= of_detector(source.model, task, preprocessing, len(labels))
    if source.target and (library := source.target.delegate):
        record["libraries"] = {**library.libraries, "": library.linux}
    return Description(task.name, preprocessing, labels, note, record)


def _of_map(found: MapEnd, preprocessing: Preprocessing, labels: Sequence[str]) -> dict[str, Any]:
    """What only a segmenter's program must know."""
    count = max(found.classes or MOST_CLASSES, len(labels))
    return {
        "fit": preprocessing.fit,
        "margin": list(preprocessing.margin),
        "map": {"height": found.height, "width": found.width},
        "colors": class_colors(count).tolist(),
    }


def _preprocessing(source: Source, metadata: Metadata, size: int, task: FileTask) -> Preprocessing:
    """The file's own record, else the run's, else that of `preparation`."""
    record = metadata.preprocessing or source.report.get("preprocessing")
    if not record:
        return preparation(metadata, size, task.name)
    return Preprocessing.from_dict({**record, "resolution": size})


def _labels(
    source: Source, metadata: Metadata, task: FileTask
) -> tuple[tuple[str, ...], str | None]:
    """The run's names, which may hold any character, else the file's, else numbers.

    Returns:
        The names, and how the file's labels differ from the output. Of a map of classes nothing
        says how many there are.
    """
    data = source.report.get("data") or {}
    of_run = tuple(map(str, data.get("labels") or ()))
    if task.map is not None and task.map.classes is None:
        return of_run or metadata.labels, metadata.labels_problem
    classes = task.map.classes if task.map else classes_in(task)
    classes = classes or count_classes(source.scores) or 0
    if len(of_run) == classes:
        return of_run, None
    labels = fit_labels(metadata.labels, classes)
    numbers = tuple(f"class {index}" for index in range(classes))
    return labels.names or numbers, labels.note or metadata.labels_problem


def _feeding(source: Source, metadata: Metadata) -> dict[str, Any]:
    """How the input is fed, in the terms of `device_program.feeding_table`."""
    image = source.image
    table = feed_table(image, source.path, source.normalization)
    record: dict[str, Any] = {"dtype": image.dtype}
    if table is None:
        return {**record, "feed": "bytes"}
    levels = np.arange(256)[:, None]
    if image.dtype == "int8" and np.array_equal(table, np.broadcast_to(levels - 128, (256, 3))):
        return {**record, "feed": "offset", "offset": -128}
    used = source.normalization or metadata
    record |= {"mean": _float32(used.mean), "std": _float32(used.std)}
    if image.dtype == "float32":
        return {**record, "feed": "normalize"}
    zero_point = image.zero_point or 0
    return {**record, "feed": "quantize", "scale": image.scale, "zero_point": zero_point}


def _float32(values: Sequence[float]) -> list[float]:
    """One number for each channel, as `feed_table` rounds them."""
    rounded = [float(np.float32(value)) for value in values]
    return rounded * 3 if len(rounded) == 1 else rounded


def _kind_of(task: FileTask) -> str:
    """What the outputs of a map or of a detector are; empty for a classifier's."""
    if task.map is not None:
        return task.map.kind
    return "boxes" if task.boxes is not None else "offsets and logits" if task.rows else ""


def _kind(source: Source, metadata: Metadata) -> str:
    """What the output means: as the graph says it, else as the values of an answer show it."""
    from edgekit.data.test_image import draw

    found = output_kind(source.model, metadata)
    if found is None and source.reference is not None:
        answer = runner.run(
            source.reference,
            draw(source.image.shape[1])[None],
            preprocessing=source.normalization,
            effort=runner.Effort(repeat=1),
        )
        model = runner.read_image_model(source.reference)
        found = output_kind(model, metadata, answer.scores)
    return "probability" if found is not None and found[0] == PROBABILITY else "logits"


@dataclass(frozen=True)
class Expected:
    """The check's photo, and this host's answer for it.

    Attributes:
        pixels: uint8 [size, size, 3].
        outputs: the raw outputs, quantized where the file's are, [classes] or a map [h, w, classes]
            or [h, w]; or boxes [k, 6]; None where this host cannot run the file.
        runtime: what ran it here.
        photo: where the photo is from, in words.
    """

    pixels: Pixels
    outputs: npt.NDArray[np.float64] | None
    runtime: str
    photo: str


def expect(source: Source, preprocessing: Preprocessing) -> Expected:
    """Chooses the photo whose best class is furthest ahead, so that rounding cannot change it.

    Of a map it is so in the mean over the pixels; of one of classes, the photo that has the most;
    of a detector, the one with the surest boxes.
    """
    from edgekit.data.test_image import TEST_PICTURE, draw

    photos = [*_validation_photos(source, preprocessing), draw(preprocessing.resolution)]
    names = ["a validation photo"] * (len(photos) - 1) + [TEST_PICTURE]
    if source.reference is None:
        return Expected(photos[0], None, "", names[0])
    answer = runner.run(
        source.reference,
        np.stack(photos),
        preprocessing=source.normalization,
        effort=runner.Effort(repeat=1),
    )
    if preprocessing.task == OF_ROWS:
        task = runner.read_answering(source.reference)[2]
        rows = find_boxes(answer.scores, task, preprocessing).astype(np.float64)
        chosen = int(rows[:, :10, 4].sum(axis=1).argmax())
        return Expected(photos[chosen], rows[chosen], answer.runtime, names[chosen])
    output = Source(source.reference, None, {}).scores
    outputs = answer.scores.astype(np.float64)
    if output.scale is not None:
        outputs = np.rint(outputs / output.scale) + (output.zero_point or 0)
    chosen = int(np.argmax([_lead(one, answer.scores.dtype.kind in "iu") for one in outputs]))
    return Expected(photos[chosen], outputs[chosen], answer.runtime, names[chosen])


def _lead(outputs: npt.NDArray[Any], are_classes: bool) -> float:
    if are_classes:
        return float(len(np.unique(outputs)))
    best = np.sort(outputs, axis=-1)
    lead = best[..., -1] - best[..., -2] if best.shape[-1] > 1 else best[..., -1]
    return float(lead.mean())


def _validation_photos(source: Source, preprocessing: Preprocessing) -> list[Pixels]:
    """A few validation photos of the run, where it still finds them."""
    from edgekit.data.images import UnreadableImageError

    if source.run is None:
        return []
    try:
        photos = open_run(source.run).splits().val
        count = min(len(photos), PHOTOS)
        return [preprocessing.pixels(photos.load(index)) for index in range(count)]
    except (OSError, EdgekitError, UnreadableImageError):
        return []  # the photos have moved, or the run was copied without its stages


def labels_text(labels: Sequence[str]) -> str:
    """A label a line; a line break within one becomes a space."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in labels)


def record_text(record: dict[str, Any]) -> str:
    """The text of ``model.json``: plain ASCII, whatever the names hold."""
    return json.dumps(record, indent=1) + "\n"


def ppm(pixels: Pixels) -> bytes:
    """A picture as a binary PPM file."""
    height, width = pixels.shape[:2]
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()
