"""The runtimes, a row each, and what is done with a model file by the runtime of its ending."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.system.extras import missing

if TYPE_CHECKING:
    from edgekit.converters.model_files import About
    from edgekit.data.normalization import Normalization
    from edgekit.data.preprocessing import Preprocessing
    from edgekit.networks.graph import Graph
    from edgekit.runtimes.base import Classifier, Runnable, Trace
    from edgekit.system.paths import StrPath


@dataclass(frozen=True)
class Runtime:
    """What runs the files of one ending.

    What it does is named as ``module:function``, each imported when it is first used.

    Attributes:
        ending: of the files.
        name: in the names of rows, such as "onnx" in "w8a8-onnx".
        title: for people.
        package: the distribution that has its version.
        classifier: opens a classifier; see `edgekit.runtimes.base.Classifier`.
        trace: opens a file so that its tensors show; see `edgekit.runtimes.base.Trace`.
        about: reads what a file says of itself.
        describe: says what a file is, as JSON values; None where ``edgekit inspect`` does.
        extra: of edgekit, which installs it; None where edgekit always does.
        imports: what loading a file imports.
        load: loads what is then not imported yet, such as the kernels.
        unfed: opens a file that takes no photo; returns None for the others.
        takes: keywords of ``classifier`` beside those that all have.
        slow_int8: why int8 may be slower than float on a CPU with int8 dot products.
    """

    ending: str
    name: str
    title: str
    package: str
    classifier: str
    trace: str
    about: str
    describe: str | None
    extra: str | None
    imports: tuple[str, ...]
    load: str | None = None
    unfed: str | None = None
    takes: tuple[str, ...] = ()
    slow_int8: str | None = None

    def use(self, reference: str) -> Callable[..., Any]:
        """Imports what ``module:function`` names.

        Raises:
            MissingToolError: the runtime is not installed.
        """
        try:
            found: Callable[..., Any] = resolve_name(reference)
        except ModuleNotFoundError as error:
            raise missing(self.extra, reference, error) from error
        return found

    def load_libraries(self) -> None:
        """Loads its libraries, which are no part of loading a file; one that is missing is left."""
        with contextlib.suppress(ImportError):
            for name in self.imports:
                import_module(name)
            if self.load:
                self.use(self.load)()


_LITERT, _ONNX, _OPENVINO = (f"edgekit.runtimes.{name}" for name in ("litert", "onnx", "openvino"))
_TENSORS, _ABOUT = "edgekit.runtimes.interpreter", "edgekit.converters.model_files"
_DESCRIBE = "edgekit.converters.descriptions"
RUNTIMES = {
    runtime.ending: runtime
    for runtime in (
        Runtime(
            ending=".tflite",
            name="tflite",
            title="LiteRT",
            package="ai-edge-litert",
            classifier=f"{_LITERT}:LiteRT",
            trace=f"{_TENSORS}:trace_graph",
            about=f"{_ABOUT}:about_tflite",
            describe=None,
            extra=None,
            imports=("ai_edge_litert.interpreter", "ai_edge_litert.schema_py_generated"),
            unfed=f"{_TENSORS}:open_unfed",
        ),
        Runtime(
            ending=".xml",
            name="openvino",
            title="OpenVINO",
            package="openvino",
            classifier=f"{_OPENVINO}:OpenVINO",
            trace=f"{_OPENVINO}:trace_graph",
            about=f"{_ABOUT}:about_openvino",
            describe=f"{_DESCRIBE}:describe_openvino",
            extra="openvino",
            imports=("openvino",),
            load=f"{_OPENVINO}:load_kernels",
            takes=("device", "cache", "normalization"),
        ),
        Runtime(
            ending=".onnx",
            name="onnx",
            title="ONNX Runtime",
            package="onnxruntime",
            classifier=f"{_ONNX}:OnnxRuntime",
            trace=f"{_ONNX}:trace_graph",
            about=f"{_ABOUT}:about_onnx",
            describe=f"{_DESCRIBE}:describe_onnx",
            extra="onnx",
            imports=("onnxruntime", "onnx"),
            takes=("normalization",),
            slow_int8="because ONNX Runtime's int8 kernels of sigmoids and products, and those of "
            "convolutions with uint8 weights (--cpu any), may be slower than its float ones",
        ),
    )
}


def find_runtime(path: StrPath) -> Runtime:
    """Returns the runtime of a file's ending.

    Raises:
        UsageError: it is of no kind that is known.
    """
    ending = Path(path).suffix.lower()
    if ending not in RUNTIMES:
        raise UsageError(
            f"{path} is of no kind that can be run", hint=did_you_mean(ending, RUNTIMES)
        )
    return RUNTIMES[ending]


def open_classifier(
    path: StrPath,
    *,
    threads: int = 1,
    preprocessing: Preprocessing | None = None,
    normalization: Normalization | None = None,
    device: str = "CPU",
    cache: StrPath | None = None,
) -> Classifier:
    """Loads a model file: .tflite in LiteRT, .onnx in ONNX Runtime, .xml in OpenVINO.

    Args:
        path: of the file.
        threads: of the runtime's kernels.
        preprocessing: how float values are normalised where the file does not say it.
        normalization: of a float input, instead of what a .onnx or .xml file says.
        device: of an .xml file: ``CPU``, ``GPU``, ``NPU`` or ``AUTO``; others run on the CPU.
        cache: folder for what OpenVINO compiles of an .xml file, so that it loads faster again.

    Raises:
        UsageError: the file is of no kind that is known, or cannot be used.
        MissingToolError: its runtime is not installed.
        EdgekitError: the runtime cannot load it.
    """
    runtime = find_runtime(path)
    more = {
        "device": device,
        "cache": Path(cache) if cache is not None else None,
        "normalization": normalization,
    }
    own = {name: more[name] for name in runtime.takes}
    opened: Classifier = runtime.use(runtime.classifier)(
        path, threads=threads, preprocessing=preprocessing, **own
    )
    return opened


def open_unfed(path: StrPath, threads: int) -> Runnable | None:
    """Opens a file that takes no photo, where its runtime runs such; None for the others."""
    runtime = find_runtime(path)
    if runtime.unfed is None:
        return None
    found: Runnable | None = runtime.use(runtime.unfed)(path, threads)
    return found


def open_trace(path: StrPath, graph: Graph) -> Trace:
    """Opens a file so that the tensors of the network that it was written from show.

    Raises:
        UsageError: the file is of no kind that is known, or cannot be read.
        MissingToolError: its runtime is not installed.
        EdgekitError: the runtime cannot run it.
    """
    runtime = find_runtime(path)
    found: Trace = runtime.use(runtime.trace)(Path(path), graph)
    return found


def read_about(path: StrPath) -> About:
    """Reads what a file says of itself; one of an unknown ending as .tflite.

    Raises:
        UsageError: it cannot be read, or is damaged.
        MissingToolError: the package onnx is not installed.
    """
    runtime = RUNTIMES.get(Path(path).suffix.lower(), RUNTIMES[".tflite"])
    found: About = runtime.use(runtime.about)(path)
    return found
