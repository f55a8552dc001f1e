"""LiteRT's interpreter beyond photos: every tensor kept, or inputs of zeros."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.converters.classifier import photo_problem
from edgekit.converters.tflite import file as tflite_file
from edgekit.converters.tflite.file import TFLiteModel
from edgekit.data.images import Pixels
from edgekit.errors import EdgekitError
from edgekit.networks.graph import Graph
from edgekit.runtimes.base import Trace, dequantize
from edgekit.runtimes.litert import KERNELS, LiteRT, load_interpreter, name_runtime
from edgekit.system.paths import StrPath
from edgekit.system.quiet import native_quiet

Array = NDArray[Any]


class Kernels:
    """LiteRT on a whole file or a part of one, with every tensor kept.

    Args:
        contents: of a .tflite file.
        kernels: as for `edgekit.runtimes.litert.LiteRT`.

    Raises:
        EdgekitError: LiteRT refuses the file.
    """

    def __init__(self, contents: bytes, kernels: str = "builtin") -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            with native_quiet():
                self._interpreter = Interpreter(
                    model_content=contents,
                    num_threads=1,
                    experimental_op_resolver_type=OpResolverType[KERNELS[kernels]],
                    experimental_preserve_all_tensors=kernels == "builtin",
                )
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise EdgekitError("LiteRT cannot run the model", cause=str(error)) from error

    def run(self, inputs: Sequence[Array]) -> Array:
        """Runs once; inputs in the file's order, in its types. Returns the first output."""
        return self.run_all(inputs)[0]

    def run_all(self, inputs: Sequence[Array]) -> list[Array]:
        """As `run`; returns every output in the file's order."""
        details = self._interpreter.get_input_details()
        for entry, values in zip(details, inputs, strict=True):
            self._interpreter.set_tensor(entry["index"], values)
        self._interpreter.invoke()
        outputs = self._interpreter.get_output_details()
        return [np.asarray(self._interpreter.get_tensor(output["index"])) for output in outputs]

    def activations(self, model: TFLiteModel) -> dict[int, Array]:
        """All that the last run computed or was given, by tensor index of the whole file."""
        written = {i for op in model.operators for i in op.outputs} | set(model.inputs)
        return {i: np.asarray(self._interpreter.get_tensor(i)) for i in sorted(written)}


def trace_graph(path: StrPath, graph: Graph) -> Trace:
    """Runs a .tflite file with LiteRT's built-in kernels, every tensor kept."""
    from edgekit.converters.tflite.matching import match

    contents = tflite_file.read_bytes(path)
    model = tflite_file.parse(contents, name=str(path))
    found = match(graph, model).tensors
    feed, kernels = LiteRT(path).feed, Kernels(contents)

    def trace(photo: Pixels) -> dict[str, Array]:
        kernels.run([feed(photo)])
        values = kernels.activations(model)
        reals = {}
        for node in graph.nodes:
            if (index := found.get(node.name)) in values:
                tensor = model.tensors[index]
                real = dequantize(values[index], tensor.scale, tensor.zero_point)
                reals[node.name] = np.ascontiguousarray(
                    real.transpose(0, 3, 1, 2) if real.ndim == 4 else real
                )
        return reals

    return trace


class Unfed:
    """A .tflite file that takes no photo: it is given zeros, and its speed alone is measured."""

    side = width = 1

    def __init__(self, path: str, threads: int) -> None:
        self.path, self.runtime = Path(path), name_runtime()
        self._interpreter, self.load_seconds = load_interpreter(path, threads, "xnnpack")

    def feed(self, pixels: Pixels) -> Pixels:
        """Returns what is not used."""
        return pixels

    def set_input(self, fed: Any) -> None:
        """Gives every input zeros."""
        for end in self._interpreter.get_input_details():
            if np.dtype(end["dtype"]).kind in "biufc":
                zeros = np.zeros(end["shape"], end["dtype"])
                self._interpreter.set_tensor(end["index"], zeros)

    def invoke(self) -> None:
        """Runs the model once."""
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise EdgekitError(f"LiteRT failed to run {self.path}", cause=str(error)) from error


def open_unfed(path: StrPath, threads: int) -> Unfed | None:
    """Opens a .tflite file that takes no photo; None where it takes one."""
    return Unfed(str(path), threads) if photo_problem(tflite_file.read(path)) else None
