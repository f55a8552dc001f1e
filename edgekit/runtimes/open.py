"""Opens a classifier in whatever runtime its file is for, by the file's ending."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError, did_you_mean
from edgekit.runtimes.base import Classifier
from edgekit.system.extras import missing
from edgekit.system.paths import StrPath

#: By ending: module, class, and the extra that installs what it needs.
_RUNTIMES = {
    ".tflite": ("edgekit.runtimes.litert", "LiteRT", None),
    ".onnx": ("edgekit.runtimes.onnx", "OnnxRuntime", "onnx"),
    ".xml": ("edgekit.runtimes.openvino", "OpenVINO", "openvino"),
}


def open_classifier(
    path: StrPath,
    *,
    threads: int = 1,
    preprocessing: Preprocessing | None = None,
    device: str = "CPU",
    cache: StrPath | None = None,
) -> Classifier:
    """Loads a model file: .tflite in LiteRT, .onnx in ONNX Runtime, .xml in OpenVINO.

    Args:
        path: of the file.
        threads: of the runtime's kernels.
        preprocessing: how float values are normalised where the file does not say it.
        device: of an .xml file: ``CPU``, ``GPU``, ``NPU`` or ``AUTO``; others run on the CPU.
        cache: folder for what OpenVINO compiles of an .xml file, so that it loads faster again.

    Raises:
        UsageError: the file is of no kind that is known, or cannot be used.
        MissingToolError: its runtime is not installed.
        EdgekitError: the runtime cannot load it.
    """
    cache = Path(cache) if cache is not None else None
    ending = Path(path).suffix.lower()
    if ending not in _RUNTIMES:
        raise UsageError(
            f"{path} is of no kind that can be run", hint=did_you_mean(ending, _RUNTIMES)
        )
    module, name, extra = _RUNTIMES[ending]
    try:
        kind = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise missing(extra, module, error) from error
    own = {"device": device, "cache": cache} if ending == ".xml" else {}
    opened: Classifier = kind(path, threads=threads, preprocessing=preprocessing, **own)
    return opened
