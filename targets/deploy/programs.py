"""What is deployed for each task: the program, the sources of an app, and how both are checked."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.converters.file_task import OF_MAPS, OF_ROWS
from edgekit.data.preprocessing import DEFAULT_TASK
from edgekit.errors import EdgekitError
from edgekit.targets.deploy.boxes import share_found
from edgekit.targets.deploy.model import Description, Expected, Source

STEPS = 8.0
#: Pixels that may have another class than here, of all. Where two classes meet, a runtime that
#: rounds differently may choose the other: of logits, a class within `tolerance` of the best one
#: is no other. Between tflite-runtime 2.14 and LiteRT 2.3, 2 % of the pixels of a network with
#: random weights had another class (`tests/targets/deploy/test_segmenter.py`), all within it.
OTHER_PIXELS = 0.02
#: The same of a file that another processor runs: it is another file.
OTHER_PIXELS_COMPILED = 0.1
#: Of the best boxes, those that a device must find, too: where two overlap by nearly as much as is
#: allowed, or have nearly the same score, rounding decides which one stays.
SAME_BOXES, SAME_BOXES_COMPILED = 0.8, 0.6
_UPDATE = "update the runtime on the older side; the folder there is as it was"


@dataclass(frozen=True)
class Program:
    """A program on a device, and the same for an app.

    Attributes:
        file: what it is called there.
        readme: the template of its description.
        question: what it is asked with to answer for the check's photo.
        compare: says in words how its answer is that of this host, and raises EdgekitError where
            it is not.
        app: sources of an Android app by path, and their templates; without those that all have.
        app_in_c: the same in C++, for TensorFlow Lite's C API.
    """

    file: str
    readme: str
    question: Callable[[Description], list[str]]
    compare: Callable[[Source, Expected, dict[str, Any]], str]
    app: Mapping[str, str] = field(default_factory=dict)
    app_in_c: Mapping[str, str] = field(default_factory=dict)


def program_of(description: Description) -> Program:
    """The program for what a file is for."""
    return PROGRAMS[description.task]


def _ask_for_classes(description: Description) -> list[str]:
    return ["--json", "--top", str(len(description.labels))]


def compare_classes(source: Source, expected: Expected, answer: dict[str, Any]) -> str:
    """Compares the outputs of a classifier."""
    where = f"on {expected.photo} with {answer['runtime']}"
    if expected.outputs is None:
        return f"it runs {where}; this host has nothing to compare that with"
    there = np.empty(len(expected.outputs))
    for place in answer["top"]:
        there[place["index"]] = place["output"]
    best = int(expected.outputs.argmax())
    off = float(np.abs(there - expected.outputs).max())
    if source.target:  # another file ran here: only the class must be the same
        is_same, rule = answer["index"] == best, "same class"
    else:
        allowed = tolerance(expected.outputs, source.scores.dtype == "float32")
        is_same = answer["index"] == best and off <= allowed
        rule = f"same class, outputs within {allowed:.3g}"
    if not is_same:
        raise EdgekitError(
            "the device does not answer as this host does",
            cause=f"class {answer['index']} instead of {best} {where}, outputs up to {off:.3g} off "
            f"({expected.runtime} here)",
            hint=_UPDATE,
        )
    return f"answers as this host does {where}: {rule} (largest difference {off:.3g})"


def tolerance(outputs: NDArray[Any], is_float: bool) -> float:
    """A few steps of an integer, since runtimes round differently; floats are added up in another
    order. Between tflite-runtime 2.14 and LiteRT 2.3, Lite0's outputs for 200 photos of flowers
    were up to 5 of 255 steps apart (`edgekit bench --device`); a photo that is fed wrongly is far
    beyond that.
    """
    return 1e-3 * max(float(np.abs(outputs).max()), 1.0) if is_float else STEPS


def _ask_for_a_map(description: Description) -> list[str]:
    return ["--json", "--map", "--no-drawing"]


def compare_pixels(source: Source, expected: Expected, answer: dict[str, Any]) -> str:
    """Compares the maps of a segmenter, pixel by pixel."""
    where = f"on {expected.photo} with {answer['runtime']}"
    if expected.outputs is None:
        return f"it runs {where}; this host has nothing to compare that with"
    packed = zlib.decompress(base64.b64decode(answer["map"]["zlib"]))
    there = np.frombuffer(packed, np.uint8).reshape(answer["map"]["shape"])
    here = classes_in(expected.outputs)
    if here.shape != there.shape:
        cause = f"its map is {list(there.shape)}, and here {list(here.shape)}"
        raise EdgekitError("the device does not answer as this host does", cause=cause)
    differs = here != there
    same = f"{1 - differs.mean():.2%} of {there.size:,} pixels have the same class"
    if expected.outputs.ndim == 3 and expected.outputs.shape[2] > 1:
        differs &= ~_nearly_best(expected.outputs, there, source.scores.dtype == "float32")
    other = float(differs.mean())
    if other > (OTHER_PIXELS_COMPILED if source.target else OTHER_PIXELS):
        raise EdgekitError(
            "the device does not answer as this host does",
            cause=f"only {same} {where} ({expected.runtime} here)",
            hint=_UPDATE,
        )
    return f"answers as this host does {where}: {same}"


def _nearly_best(
    outputs: NDArray[Any], classes: NDArray[np.uint8], is_float: bool
) -> NDArray[np.bool_]:
    """Where logits [h, w, n] of some classes, [h, w], are as good as the best, but for rounding."""
    known = np.minimum(classes, outputs.shape[2] - 1)[..., None].astype(np.int64)
    theirs = np.take_along_axis(outputs, known, axis=2)[..., 0]
    return np.asarray(outputs.max(axis=2) - theirs <= tolerance(outputs, is_float))


def classes_in(outputs: NDArray[Any]) -> NDArray[np.uint8]:
    """The classes of one photo's map, uint8 [h, w], of logits [h, w, classes] or of classes."""
    if outputs.ndim == 2:
        return outputs.astype(np.uint8)
    found = outputs[..., 0] if outputs.shape[2] == 1 else outputs.argmax(axis=2)
    return np.asarray(found, np.uint8)


def _ask_for_boxes(description: Description) -> list[str]:
    return ["--json", "--no-drawing"]


def compare_boxes(source: Source, expected: Expected, answer: dict[str, Any]) -> str:
    """Compares the boxes of a detector."""
    where = f"on {expected.photo} with {answer['runtime']}"
    if expected.outputs is None:
        return f"it runs {where}; this host has nothing to compare that with"
    there = np.array(answer["rows"], np.float64).reshape(-1, 6)
    share, count = share_found(expected.outputs, there)
    same = f"{share:.0%} of the {count} best boxes are the same"
    if share < (SAME_BOXES_COMPILED if source.target else SAME_BOXES):
        raise EdgekitError(
            "the device does not answer as this host does",
            cause=f"only {same} {where} ({expected.runtime} here)",
            hint=_UPDATE,
        )
    return f"answers as this host does {where}: {same}"


JAVA, _CPP = "app/src/main/java/edgekit", "app/src/main/cpp"
#: By the name of a task.
PROGRAMS: dict[str, Program] = {
    DEFAULT_TASK: Program(
        "classify.py",
        "README.device.md.j2",
        _ask_for_classes,
        compare_classes,
        {
            f"{JAVA}/Classifier.kt": "Classifier.kt.j2",
            "README.md": "README.android.md.j2",
        },
        {
            f"{_CPP}/classifier.h": "classifier.h.j2",
            f"{_CPP}/classifier.cc": "classifier.cc.j2",
            f"{_CPP}/photo.h": "photo.h.j2",
            f"{_CPP}/photo.cc": "photo.cc.j2",
        },
    ),
    OF_MAPS: Program(
        "segment.py",
        "README.segmenter.md.j2",
        _ask_for_a_map,
        compare_pixels,
        {
            f"{JAVA}/Segmenter.kt": "Segmenter.kt.j2",
            "README.md": "README.android-segmenter.md.j2",
        },
    ),
    OF_ROWS: Program(
        "detect.py",
        "README.detector.md.j2",
        _ask_for_boxes,
        compare_boxes,
        {
            f"{JAVA}/Detector.kt": "Detector.kt.j2",
            "README.md": "README.android-detector.md.j2",
        },
    ),
}
