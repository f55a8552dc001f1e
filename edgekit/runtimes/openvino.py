"""Runs an OpenVINO classifier (.xml with its .bin), fed with the bytes of RGB photos."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.answer import answers_of
from edgekit.converters.findings import ERROR
from edgekit.converters.openvino import checks as openvino_checks
from edgekit.converters.openvino import file as openvino_file
from edgekit.converters.openvino.write import openvino
from edgekit.data.images import Pixels
from edgekit.data.normalization import Normalization
from edgekit.data.preprocessing import Preprocessing, with_normalization
from edgekit.errors import EdgekitError, UsageError
from edgekit.networks.graph import Graph
from edgekit.runtimes.base import Trace, answer_of, check_pixels, join_rows
from edgekit.system.paths import StrPath


class OpenVINO:
    """A classifier in an OpenVINO IR, ready to run.

    A uint8 NHWC input is fed the pixels' bytes, a float32 NCHW one (pixel - mean) / std with the
    numbers of the file's record, else of ``preprocessing``. What is float is computed in float32,
    so that figures of different machines compare: OpenVINO's own choice is bfloat16 on processors
    with AMX and float16 on GPUs, which is faster there.

    Args:
        path: the model's .xml: one input; its first output is the answer, a score per class or a
            map, or all of them are where they are rows.
        preprocessing: how float values are normalised where the file does not say it.
        normalization: of a float input, instead of what the file says.
        threads: of the CPU's kernels.
        device: "CPU", "GPU", "NPU" or "AUTO"; a choice of this run, not of the file.
        cache: folder for the compiled model, which makes the next load faster; None: nothing is
            written.

    Raises:
        UsageError: the file is not such a model or cannot be fed, or there is no such device.
        MissingToolError: OpenVINO is not installed.
        EdgekitError: OpenVINO cannot run it.

    Attributes:
        runtime: "OpenVINO", its version and the device.
        side: height of its input in pixels.
        width: the same.
        load_seconds: what reading and compiling the model took.
    """

    def __init__(
        self,
        path: StrPath,
        *,
        preprocessing: Preprocessing | None = None,
        normalization: Normalization | None = None,
        threads: int = 1,
        device: str = "CPU",
        cache: StrPath | None = None,
    ) -> None:
        cache = Path(cache) if cache is not None else None
        if threads < 1:
            raise UsageError(f"{threads} threads cannot run a model", hint="give 1 or more")
        self.path = Path(path)
        model = openvino_file.read(path)
        if broken := [f for f in openvino_checks.findings(model) if f.severity == ERROR]:
            raise UsageError(f"{path} is not an image classifier", cause=str(broken[0]))
        (self.input,) = model.inputs
        self.outputs = answers_of(model.outputs)
        self.side = self.width = self.input.shape[2]
        self._preprocessing = with_normalization(
            model.preprocessing or preprocessing, normalization
        )
        self._takes_bytes = openvino_checks.is_bytes(self.input)
        if not self._takes_bytes and self._preprocessing is None:
            raise UsageError(
                f"{path} does not say how a photo is normalised",
                cause="its input is float32 and it has no record",
                hint="give the preprocessing that it was trained with",
            )
        version = openvino().__version__.partition("-")[0]
        self.runtime = f"OpenVINO {version}" + ("" if device == "CPU" else f" {device}")
        began = time.perf_counter()
        compiled = compile_model(self.path, device=device, threads=threads, cache=cache)
        self._request = compiled.create_infer_request()
        self.load_seconds = time.perf_counter() - began

    def feed(self, pixels: Pixels) -> npt.NDArray[Any]:
        """Returns what the model's input is given.

        Args:
            pixels: uint8 [side, side, 3], RGB.

        Returns:
            uint8 [1, side, side, 3], or float32 [1, 3, side, side].

        Raises:
            UsageError: the pixels are not of that type and size.
        """
        check_pixels(self.path, pixels, (self.side, self.side, 3))
        if self._takes_bytes or self._preprocessing is None:
            return np.ascontiguousarray(pixels[None])
        return np.ascontiguousarray(self._preprocessing.normalize(pixels).transpose(2, 0, 1)[None])

    def run(self, batch: Pixels) -> npt.NDArray[Any]:
        """Classifies photos, one at a time.

        Args:
            batch: uint8 [n, side, side, 3], RGB.

        Returns:
            The answer, as `edgekit.runtimes.base.Classifier` says.

        Raises:
            UsageError: the pixels are not of that type and size.
            EdgekitError: OpenVINO failed.
        """
        return np.stack([self._run(self.feed(pixels)) for pixels in batch])

    def _run(self, fed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        self.set_input(fed)
        self.invoke()
        places = range(len(self.outputs))
        # Copies: they are the next run's, too.
        found = [np.array(self._request.get_output_tensor(place).data) for place in places]
        return join_rows(found) if len(found) > 1 else answer_of(found[0], channels_first=True)

    def set_input(self, fed: npt.NDArray[Any]) -> None:
        """Gives the model its input, as `feed` makes it."""
        self._request.get_input_tensor(0).data[:] = fed

    def invoke(self) -> None:
        """Runs the model once on the input that it has.

        Raises:
            EdgekitError: OpenVINO failed.
        """
        try:
            self._request.infer()
        except RuntimeError as error:
            raise EdgekitError(
                f"OpenVINO failed to run {self.path}", cause=str(error)[:500]
            ) from error


def compile_model(
    path: StrPath,
    *,
    device: str = "CPU",
    threads: int = 1,
    cache: StrPath | None = None,
    change: Callable[[Any], None] | None = None,
) -> Any:
    """Reads and compiles an IR with the settings that edgekit runs it with.

    Args:
        path: the .xml.
        device: as for `OpenVINO`.
        threads: likewise.
        cache: likewise.
        change: called with the model before it is compiled, for example to add outputs.

    Raises:
        UsageError: there is no such device.
        EdgekitError: OpenVINO cannot run it.
    """
    path = Path(path)
    cache = Path(cache) if cache is not None else None
    core = _core(device)
    try:
        model = core.read_model(Path(path), Path(path).with_suffix(".bin"))
        if change is not None:
            change(model)
        return core.compile_model(model, device, _settings(device, threads, cache))
    except RuntimeError as error:
        raise EdgekitError(f"OpenVINO cannot run {path}", cause=str(error)[:500]) from error


def _core(device: str) -> Any:
    """OpenVINO with that device in it."""
    core = openvino().Core()
    known = core.available_devices
    # "GPU" stands for the first of "GPU.0", "GPU.1".
    if device != "AUTO" and device not in {*known, *(name.partition(".")[0] for name in known)}:
        raise UsageError(
            f"there is no device '{device}'",
            cause=f"OpenVINO finds {', '.join(known)} on this machine",
            hint=f"one of {', '.join(known)}, AUTO",
        )
    return core


def _settings(device: str, threads: int, cache: Path | None) -> dict[str, Any]:
    """Properties of the run (docs.openvino.ai, "CPU device": supported properties)."""
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if cache is not None:
        settings["CACHE_DIR"] = str(cache)
    if not device.startswith("NPU"):  # which computes float16 only
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = threads
    if device == "AUTO":
        settings["DEVICE_PROPERTIES"] = {"CPU": {"INFERENCE_NUM_THREADS": threads}}
    return settings


def trace_graph(path: StrPath, graph: Graph) -> Trace:
    """Runs an IR with every tensor of the network among its outputs."""
    classifier = OpenVINO(path)

    def add_outputs(model: Any) -> None:
        written = {
            name for op in model.get_ops() for out in op.outputs() for name in out.get_names()
        }
        ends = {name for out in model.outputs for name in out.get_names()}
        inner = [node.name for node in graph.nodes if node.name in written - ends]
        if inner:
            model.add_outputs(inner)

    compiled = compile_model(path, change=add_outputs)
    names = {node.name for node in graph.nodes}
    places = [
        (name, place)
        for place, output in enumerate(compiled.outputs)
        for name in sorted(names & output.get_names())
    ]

    def trace(photo: Pixels) -> dict[str, npt.NDArray[Any]]:
        results = compiled(classifier.feed(photo))
        return {name: np.array(results[place], np.float32) for name, place in places}

    return trace


def load_kernels() -> None:
    """Loads the plugin that has the processor's kernels."""
    openvino().Core().get_versions("CPU")
