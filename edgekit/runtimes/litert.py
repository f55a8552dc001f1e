"""Runs a .tflite classifier in LiteRT on this host, fed with the bytes of RGB photos."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.classifier import photo_problem, refuse
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.detections import loses_a_class
from edgekit.converters.tflite.file import Tensor
from edgekit.converters.tflite.metadata import read_metadata
from edgekit.data.images import Pixels
from edgekit.data.normalization import Normalization, not_stated
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.runtimes.answer import TFLiteAnswer
from edgekit.runtimes.base import WARM_SECONDS, check_pixels, measure
from edgekit.system.paths import StrPath
from edgekit.system.quiet import native_quiet

KERNELS = {  # by LiteRT's names for its op resolvers
    "xnnpack": "BUILTIN",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}


class LiteRT:
    """A classifier in a .tflite file, ready to run.

    A uint8 input is fed the pixels' bytes. A float32 input is fed (pixel - mean) / std with the
    numbers of ``preprocessing``, else of the file's metadata. An int8 input is fed what its
    metadata says, which for a file of edgekit is pixel - 128; without metadata, a scale of 1
    (the model counts in pixels) means pixel - 128 too, and any other scale quantizes
    (pixel - mean) / std.

    Args:
        path: the model: one input [1, height, width, 3]; its first output is the answer, a score
            per class or a map, or all of them are where they are rows, or those of TFLite's
            detection operator, in whatever order.
        preprocessing: how float values are normalised.
        threads: of LiteRT's kernels; one where more would lose a class of a detector's answers
            (`edgekit.converters.tflite.detections.loses_a_class`).
        kernels: "xnnpack" (LiteRT's default), "builtin" or "reference".

    Raises:
        UsageError: the file is not such a model, or cannot be fed without a ``preprocessing``.
        EdgekitError: LiteRT cannot run it.

    Attributes:
        runtime: "LiteRT" and its version.
        side: height of its input in pixels.
        width: of its input in pixels.
        load_seconds: what loading the file and planning its memory took.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        preprocessing: Preprocessing | None = None,
        threads: int = 1,
        kernels: str = "xnnpack",
    ) -> None:
        if kernels not in KERNELS:
            raise UsageError(f"unknown kernels '{kernels}'", hint=did_you_mean(kernels, KERNELS))
        if threads < 1:
            raise UsageError(f"{threads} threads cannot run a model", hint="give 1 or more")
        self.path = Path(path)
        model = tflite_file.read(path)
        refuse(path, photo_problem(model))
        self.input = model.tensors[model.inputs[0]]
        self.answer = TFLiteAnswer.of(model)
        self.side, self.width = self.input.shape[1:3]
        self.runtime = name_runtime()
        if loses_a_class(model):
            threads = 1
        self._table = feed_table(self.input, path, preprocessing)
        self._interpreter, self.load_seconds = load_interpreter(path, threads, kernels)
        self._input = self._interpreter.get_input_details()[0]["index"]

    def feed(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Returns what the model's input is given.

        Args:
            pixels: uint8 [height, width, 3], RGB.

        Returns:
            [1, height, width, 3] in the input's type.
        """
        check_pixels(self.path, pixels, self.input.shape[1:])
        fed = pixels if self._table is None else self._table[pixels, np.arange(3)]
        return np.ascontiguousarray(fed[None])

    def run(self, batch: Pixels) -> npt.NDArray[Any]:
        """Classifies photos, one at a time.

        Args:
            batch: uint8 [n, height, width, 3], RGB.

        Returns:
            The answer, as `edgekit.runtimes.base.Classifier` says; what is quantized is
            dequantized by (q - zero_point) * scale.

        Raises:
            UsageError: the pixels are not of that type and size.
            EdgekitError: LiteRT failed.
        """
        return np.stack([self._run(self.feed(pixels)) for pixels in batch])

    def _run(self, fed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        self.set_input(fed)
        self.invoke()
        outputs = self.answer.outputs
        return self.answer.read([self._interpreter.get_tensor(end.index) for end in outputs])

    def set_input(self, fed: npt.NDArray[Any]) -> None:
        """Gives the model its input, as `feed` makes it."""
        self._interpreter.set_tensor(self._input, fed)

    def invoke(self) -> None:
        """Runs the model once on the input that it has.

        Raises:
            EdgekitError: LiteRT failed.
        """
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise EdgekitError(f"LiteRT failed to run {self.path}", cause=str(error)) from error


def name_runtime() -> str:
    """LiteRT's name and version."""
    return f"LiteRT {version('ai-edge-litert')}"


def load_interpreter(path: StrPath, threads: int, kernels: str) -> tuple[Any, float]:
    """Returns an interpreter whose tensors are allocated, and how many seconds that took.

    Raises:
        EdgekitError: LiteRT cannot run the file.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    began = time.perf_counter()
    try:
        with native_quiet():
            interpreter = Interpreter(
                model_path=str(path),
                num_threads=threads,
                experimental_op_resolver_type=OpResolverType[KERNELS[kernels]],
            )
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        hint = "run the file before compilation" if "-custom-op" in str(error) else None
        raise EdgekitError(f"LiteRT cannot run {path}", cause=str(error), hint=hint) from error
    return interpreter, time.perf_counter() - began


def check_normalization(path: StrPath, image: Tensor, given: Normalization | None) -> None:
    """Raises UsageError where a user gives a normalization that an input does not take."""
    said = read_metadata(path)
    if given is None or image.dtype == "float32":
        return
    if image.dtype == "uint8" or (said.mean and said.std):
        takes = "the bytes of the photo" if image.dtype == "uint8" else "what its metadata say"
        raise UsageError(
            f"--mean and --std are not for {path}",
            cause=f"its input is {image.dtype} and takes {takes}",
            hint="leave them out",
        )


def feed_table(
    image: Tensor,
    path: StrPath,
    preprocessing: Preprocessing | Normalization | None,
) -> npt.NDArray[Any] | None:
    """What the input is fed for each byte (row) and channel (column); None for the byte itself."""
    if image.dtype == "uint8":
        return None
    said = read_metadata(path)
    own = (preprocessing.mean, preprocessing.std) if preprocessing else None
    stored = (said.mean, said.std) if said.mean and said.std else None
    levels = np.arange(256, dtype=np.float64)[:, None]
    if image.dtype == "int8" and image.scale:
        normalization = stored or own
        if normalization is None or (stored is None and abs(image.scale - 1) < 1e-6):
            return np.broadcast_to(levels - 128, (256, 3)).astype(np.int8)
        mean, std = (np.array(values, np.float32) for values in normalization)
        quantized = np.rint((levels - mean) / std / image.scale) + (image.zero_point or 0)
        return np.broadcast_to(np.clip(quantized, -128, 127), (256, 3)).astype(np.int8)
    if image.dtype != "float32":
        raise UsageError(f"{path} cannot be fed with photos", cause=f"it takes {image.dtype}")
    normalization = own or stored
    if normalization is None:
        raise not_stated(path)
    mean, std = (np.array(values, np.float32) for values in normalization)
    return np.broadcast_to((levels.astype(np.float32) - mean) / std, (256, 3)).copy()


def measure_latency(
    path: StrPath,
    pixels: Pixels,
    *,
    preprocessing: Preprocessing | None = None,
    threads: int = 1,
    warm: int = 100,
    seconds: float = WARM_SECONDS,
    kernels: str = "xnnpack",
) -> dict[str, float | int]:
    """Measures load, first and warm runs of a model, each apart from the others.

    Args:
        path: the .tflite file.
        pixels: uint8 [height, width, 3], RGB: the photo that every run is given.
        preprocessing: as for `LiteRT`.
        threads: of LiteRT's kernels.
        warm: how many runs are measured after the first.
        seconds: at most this long; fewer runs are measured then, but always one.
        kernels: as for `LiteRT`.

    Returns:
        Milliseconds under the names of TensorFlow Lite's benchmark tool: ``init`` (load the file
        and plan its memory), ``first`` (the first run), and ``median``, ``p5`` and ``p95`` of the
        ``n`` warm runs; a run is the invocation, without copying input and output. ``threads``.

    Raises:
        UsageError: as for `LiteRT`.
        EdgekitError: LiteRT cannot run the model.
    """
    runtime = LiteRT(path, preprocessing=preprocessing, threads=threads, kernels=kernels)
    return measure(runtime, pixels, warm=warm, seconds=seconds) | {"threads": threads}
