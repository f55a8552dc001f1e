"""What every runtime of this host offers, and how its latency is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgekit.data.images import Pixels
from edgekit.errors import UsageError
from edgekit.system.paths import StrPath

WARM_SECONDS = 10.0  # bound of all warm runs together

#: The reals of a network's tensors, NCHW or [1, n], by the Graph's names, for one photo.
Trace = Callable[[Pixels], Mapping[str, npt.NDArray[Any]]]


class Runnable(Protocol):
    """A network in a file, loaded by some runtime and ready to run.

    Attributes:
        path: of the file.
        runtime: name and version of what runs it, for example "LiteRT 2.3.0".
        side: height of its input in pixels.
        width: of its input in pixels; that of a classifier is its height.
        load_seconds: what loading the file and planning its memory took.
    """

    path: Path
    runtime: str
    side: int
    width: int
    load_seconds: float

    def feed(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Returns what the model's input is given for uint8 pixels [height, width, 3], RGB."""

    def set_input(self, fed: npt.NDArray[Any]) -> None:
        """Gives the model its input, as `feed` makes it."""

    def invoke(self) -> None:
        """Runs the model once on the input that it has."""


class Classifier(Runnable, Protocol):
    """A classifier of photos or of their pixels, loaded by some runtime and ready to run."""

    def run(self, batch: Pixels) -> npt.NDArray[Any]:
        """Classifies uint8 photos [n, height, width, 3], one at a time.

        Returns:
            Logits, float32 [n, classes], or [n, height, width, classes] of a segmenter, whatever
            the layout in the file; or the classes that it chose, integers [n, height, width] or
            [n, height, width, 1]; or of several outputs that are rows, as many of each, all
            columns in the file's order, float32 [n, rows, columns]; or boxes, as `join_boxes` has
            them.
        """


def dequantize(
    values: npt.NDArray[Any], scale: float | None, zero_point: int | None
) -> npt.NDArray[Any]:
    """Integers as the reals that they stand for, float32; floats, and classes, as they are."""
    if scale is None:
        return values if values.dtype.kind in "iu" else values.astype(np.float32)
    steps = values.astype(np.float32) - np.float32(zero_point or 0)
    result: npt.NDArray[Any] = steps * np.float32(scale)
    return result


def join_rows(outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """One photo's rows, [rows, columns], from reals of several outputs [1, rows, columns]."""
    return np.concatenate([output[0] for output in outputs], axis=-1).astype(np.float32)


def join_boxes(
    boxes: npt.NDArray[Any], classes: npt.NDArray[Any], scores: npt.NDArray[Any], count: float
) -> npt.NDArray[np.float32]:
    """One photo's boxes from what TFLite's detection operator gives.

    Args:
        boxes: float [rows, 4]: top, left, bottom, right.
        classes: float [rows].
        scores: float [rows].
        count: rows that mean something; what is in those behind them is left from other photos.

    Returns:
        float32 [rows, 6]: top, left, bottom, right in fractions of the input, score and class
        index; zeros in the rows behind ``count``.
    """
    rows = np.concatenate([boxes, scores[:, None], classes[:, None]], axis=1).astype(np.float32)
    rows[int(count) :] = 0
    return rows


def answer_of(output: npt.NDArray[Any], *, channels_first: bool) -> npt.NDArray[Any]:
    """One photo's answer from what a model gave for it.

    Args:
        output: with the batch of 1.
        channels_first: whether its maps are NCHW.

    Returns:
        A map, [height, width, channels] or [height, width], in its type; anything else as a
        vector, float32 where it is an array of integers, too.
    """
    if output.ndim < 3 or max(output.shape) == output.size:
        return output.reshape(-1).astype(np.float32)
    answer = output[0]
    if channels_first and answer.ndim == 3:
        answer = answer.transpose(1, 2, 0)
    return np.asarray(answer.astype(np.float32) if answer.dtype.kind == "f" else answer)


def measure(
    runtime: Classifier, pixels: Pixels, *, warm: int = 100, seconds: float = WARM_SECONDS
) -> dict[str, float | int]:
    """Measures the first and the warm runs of a loaded model; see `measure_latency`.

    Args:
        runtime: a model that has not run yet.
        pixels: uint8 [height, width, 3], RGB.
        warm: how many runs are measured after the first.
        seconds: at most this long; fewer runs are measured then, but always one.
    """
    runtime.set_input(runtime.feed(pixels))

    def run() -> float:
        began = time.perf_counter()
        runtime.invoke()
        return time.perf_counter() - began

    first = run()
    times = [run()]
    while len(times) < warm and sum(times) < seconds:
        times.append(run())
    p5, median, p95 = np.percentile(times, [5, 50, 95])
    figures = {"init": runtime.load_seconds, "first": first, "median": median, "p5": p5, "p95": p95}
    milliseconds = {name: round(float(value) * 1e3, 4) for name, value in figures.items()}
    return milliseconds | {"n": len(times)}


def check_pixels(path: StrPath, pixels: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises UsageError unless ``pixels`` are uint8 of the shape that a model takes."""
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        raise UsageError(
            f"{path} takes uint8 pixels {list(shape)}",
            cause=f"it was given {pixels.dtype} {list(pixels.shape)}",
        )
