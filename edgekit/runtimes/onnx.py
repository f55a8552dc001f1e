"""Runs a .onnx classifier in ONNX Runtime on this host's CPU, fed with the bytes of RGB photos."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.answer import answers_of
from edgekit.converters.classifier import inputs_problem, refuse, sides_of
from edgekit.converters.onnx import file as onnx_file
from edgekit.converters.onnx.file import End, OnnxModel
from edgekit.converters.onnx.maps import CLASS_TYPES
from edgekit.converters.resizes import class_dtype
from edgekit.data.images import Pixels
from edgekit.data.normalization import Normalization
from edgekit.data.preprocessing import Preprocessing, with_normalization
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.graph import Graph
from edgekit.runtimes.base import Trace, answer_of, check_pixels, join_rows
from edgekit.system.extras import import_optional
from edgekit.system.host import this_cpu
from edgekit.system.paths import StrPath
from edgekit.system.quiet import native_quiet

_ERRORS_ONLY = 3  # onnxruntime's ORT_LOGGING_LEVEL_ERROR


class OnnxRuntime:
    """A classifier in a .onnx file, ready to run.

    A uint8 input is fed the pixels' bytes; a float32 input is fed (pixel - mean) / std with the
    numbers of the file's own record, else of ``preprocessing``. Channels go where the input has
    three: NHWC in the files of edgekit that take bytes, NCHW in most others.

    Args:
        path: the model: one input, a batch of photos; its first output is the answer, a score per
            class or a map, or all of them are where they are rows.
        preprocessing: how float values are normalised where the file does not say it; its
            resolution is that of a model that takes any.
        normalization: of a float input, instead of what the file says.
        threads: of ONNX Runtime's kernels.

    Raises:
        UsageError: the file is not such a model, cannot be fed without a ``preprocessing``, or
            holds what is not run (`edgekit.converters.onnx.file.check`).
        MissingToolError: onnx or onnxruntime is not installed.
        EdgekitError: ONNX Runtime cannot run it.

    Attributes:
        runtime: "ONNX Runtime" and its version.
        side: height and width of its input in pixels.
        width: the same.
        load_seconds: what loading and optimizing the model took.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        preprocessing: Preprocessing | None = None,
        normalization: Normalization | None = None,
        threads: int = 1,
    ) -> None:
        if threads < 1:
            raise UsageError(f"{threads} threads cannot run a model", hint="give 1 or more")
        self.path = Path(path)
        data = onnx_file.model_bytes(path)
        model = onnx_file.parse(data, path)
        if findings := onnx_file.check(model):
            raise UsageError(f"{path} is not run: {findings[0].message}", cause=str(findings[0]))
        record = Preprocessing.from_dict(model.preprocessing) if model.preprocessing else None
        self._preprocessing = with_normalization(record or preprocessing, normalization)
        self.input, self._channels = _image(model, path)
        self.side = self.width = self._side()
        if self.input.dtype == "float32" and self._preprocessing is None:
            raise UsageError(
                f"{path} does not say how a photo is normalised",
                cause="its input is float32 and it has no metadata",
                hint="give the preprocessing that it was trained with",
            )
        # The very bytes that were checked, unless the runtime has to find weights beside the file.
        source = str(path) if model.external else data
        self.fits_pairs = model.fits_pairs
        self._session, self.load_seconds = open_session(
            source, path, threads, fits_pairs=self.fits_pairs
        )
        self.runtime = f"ONNX Runtime {version('onnxruntime')}"
        self._outputs = [output.name for output in answers_of(model.outputs)]
        self._fed: npt.NDArray[Any] | None = None
        self._found: list[npt.NDArray[Any]] = []

    def feed(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Returns what the model's input is given.

        Args:
            pixels: uint8 [height, width, 3], RGB.

        Returns:
            [1, height, width, 3] or [1, 3, height, width] in the input's type.
        """
        check_pixels(self.path, pixels, (self.side, self.side, 3))
        fed: npt.NDArray[Any] = pixels
        if self.input.dtype == "float32" and self._preprocessing is not None:
            fed = self._preprocessing.normalize(pixels)
        return np.ascontiguousarray(fed.transpose(2, 0, 1) if self._channels == 1 else fed)[None]

    def run(self, batch: Pixels) -> npt.NDArray[Any]:
        """Classifies photos, one at a time.

        Args:
            batch: uint8 [n, height, width, 3], RGB.

        Returns:
            The answer, as `edgekit.runtimes.base.Classifier` says.

        Raises:
            UsageError: the pixels are not of that type and size.
            EdgekitError: ONNX Runtime failed.
        """
        return np.stack([self._run(pixels) for pixels in batch])

    def _run(self, pixels: Pixels) -> npt.NDArray[Any]:
        self.set_input(self.feed(pixels))
        self.invoke()
        if len(self._found) > 1:
            return join_rows(self._found)
        return answer_of(self._found[0], channels_first=True)

    def set_input(self, fed: npt.NDArray[Any]) -> None:
        """Gives the model its input, as `feed` makes it."""
        self._fed = fed

    def invoke(self) -> None:
        """Runs the model once on the input that it has.

        Raises:
            EdgekitError: ONNX Runtime failed.
        """
        try:
            self._found = self._session.run(self._outputs, {self.input.name: self._fed})
        except Exception as error:  # its exceptions have no common class
            raise EdgekitError(
                f"ONNX Runtime failed to run {self.path}", cause=str(error)
            ) from error

    def _side(self) -> int:
        """Height and width of the input, which the preprocessing says where the file does not."""
        fixed = {size for size in sides_of(self.input) if isinstance(size, int)}
        if not fixed and self._preprocessing is not None:
            fixed = {self._preprocessing.resolution}
        if len(fixed) != 1:
            raise UsageError(
                f"{self.path} takes photos of no one size",
                cause=f"its input is {list(self.input.shape or ())}",
                hint=None if fixed else "give a preprocessing, which has a resolution",
            )
        return fixed.pop()


def _image(model: OnnxModel, path: StrPath) -> tuple[End, int]:
    """The input of an image classifier, and the axis of its channels."""
    refuse(path, inputs_problem(model.inputs))
    image = model.inputs[0]
    shape = image.shape or ()
    channels = [axis for axis in (1, 3) if shape[axis] == 3]
    if image.dtype not in ("uint8", "float32"):
        raise UsageError(f"{path} cannot be fed with photos", cause=f"it takes {image.dtype}")
    return image, channels[0]


def open_session(
    source: str | bytes, path: StrPath, threads: int, *, fits_pairs: bool
) -> tuple[Any, float]:
    """Returns a session that is exact on this processor, and how many seconds making it took.

    Args:
        source: the model's bytes, or the path that the runtime opens.
        path: the file's name for messages.
        threads: of its kernels.
        fits_pairs: as `edgekit.converters.onnx.file.OnnxModel` has it.

    Raises:
        MissingToolError: onnxruntime is not installed.
        EdgekitError: ONNX Runtime cannot run it.
    """
    onnxruntime = import_optional("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS_ONLY
    # Else int8 weights give wrong answers where there is no VNNI, unless they fit. Where there is,
    # it would only cost time (edgekit.converters.onnx.write.WEIGHT_TYPES).
    is_exact = fits_pairs or this_cpu() == "vnni"
    options.add_session_config_entry("session.x64quantprecision", "0" if is_exact else "1")
    began = time.perf_counter()
    try:
        with native_quiet():
            session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
    except Exception as error:  # its exceptions have no common class
        raise EdgekitError(f"ONNX Runtime cannot run {path}", cause=str(error)[:500]) from error
    return session, time.perf_counter() - began


def trace_graph(path: StrPath, graph: Graph) -> Trace:
    """Runs a .onnx file with every tensor of the network among its outputs."""
    import onnx

    classifier = OnnxRuntime(path)
    model = onnx.load(path)
    ends = {output.name for output in model.graph.output}
    written = {name for node in model.graph.node for name in node.output}
    names = [node.name for node in graph.nodes if node.name in written]
    for name in names:
        if name not in ends:
            is_class = name in graph.class_tensors
            dtype = class_dtype(graph, name, *CLASS_TYPES) if is_class else "float"
            kind = getattr(onnx.TensorProto, dtype.upper())
            value = onnx.helper.make_tensor_value_info(name, kind, None)
            model.graph.output.append(value)
    source, fits_pairs = model.SerializeToString(), classifier.fits_pairs
    session, _ = open_session(source, path, threads=1, fits_pairs=fits_pairs)
    (image,) = session.get_inputs()

    def trace(photo: Pixels) -> dict[str, npt.NDArray[Any]]:
        fed = {image.name: classifier.feed(photo)}
        # Asked for no names, a session gives all outputs.
        return dict(zip(names, session.run(names, fed), strict=True)) if names else {}

    return trace
