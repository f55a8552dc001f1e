"""The program that runs a .tflite model: apart from edgekit, so that it may crash or hang.

It needs Python 3.9, numpy and a TFLite runtime, and nothing of edgekit: this very file can be sent
to another machine. `edgekit.targets.runner` is the other side.

On stdin it takes one line of JSON and the pixels behind it. On stdout it answers in lines of JSON:
``{"phase": ..., "done": runs}`` before each thing that native code may die in, then one
``{"result": ...}`` or ``{"error": kind, "cause": text}``. What libraries print on stdout goes to
stderr.

The line of JSON:
    model: path of the .tflite file.
    shape: [n, height, width, 3] of the pixels, which are uint8.
    table: 256 rows of 3 numbers, what the input is given for a byte in a channel; null for itself.
    library, options: of the delegate; library is null without one.
    plain: true for the runtime's own kernels, without XNNPACK.
    threads: of the kernels.
    repeat: how many runs follow on the first photo, after one on each.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python")


class ChildError(Exception):
    """What is wrong, for the other side to put into words: its kind and its cause."""


def main() -> None:
    """Answers one request."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != here]  # its neighbours are not for import
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        request = json.loads(sys.stdin.buffer.readline())
        answer(request, sys.stdin.buffer.read(), say)
    except ChildError as error:
        kind, cause = error.args
        say(error=kind, cause=cause)
    except Exception as error:
        say(error="run", cause=str(error) or type(error).__name__)


def answer(request: dict[str, Any], pixels: bytes, say: Callable[..., None]) -> None:
    """Runs the model on every photo, then again on the first, and says what came of it.

    The result: ``outputs``, the first output for each photo, as it is, flat; in seconds
    ``delegate`` and ``load``, and ``runs`` with one of each run; ``runtime``, name and version.
    """

    def enter(phase: str, done: int = 0) -> None:
        say(phase=phase, done=done)

    enter("while loading the runtime")
    runtime = load_runtime()
    import numpy as np

    began = time.perf_counter()
    delegates = []
    if request["library"]:
        enter("while loading the delegate")
        delegates = [load_delegate(runtime, request["library"], request["options"])]
    loaded = time.perf_counter()
    enter("while loading the model")
    interpreter = load_model(runtime, request, delegates)
    ready = time.perf_counter()
    image, scores = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    photos = np.frombuffer(pixels, np.uint8).reshape(request["shape"])
    table = None if request["table"] is None else np.array(request["table"], image["dtype"])
    outputs, runs = [], []
    for index in range(len(photos) + request["repeat"]):
        enter(f"in run {index + 1}" if index else "in the first run", index)
        photo = photos[index if index < len(photos) else 0]
        fed = photo if table is None else table[photo, np.arange(3)]
        interpreter.set_tensor(image["index"], np.ascontiguousarray(fed[None]))
        start = time.perf_counter()
        interpreter.invoke()
        runs.append(time.perf_counter() - start)
        if index < len(photos):
            outputs.append(interpreter.get_tensor(scores["index"]).ravel().tolist())
    # Said before the delegate is closed at the end of this function: that may hang, too.
    say(
        result={
            "outputs": outputs,
            "delegate": loaded - began,
            "load": ready - loaded,
            "runs": runs,
            "runtime": describe(runtime),
        }
    )


def load_runtime() -> Any:
    """Returns the interpreter module of the first TFLite runtime that imports."""
    causes = []
    for name in RUNTIMES:
        try:
            return importlib.import_module(name + ".interpreter")
        except ImportError as error:
            causes.append(str(error))
    raise ChildError("runtime", "; ".join(causes))


def load_delegate(runtime: Any, library: str, options: dict[str, str]) -> Any:
    """Loads a delegate from a shared library, and tells a missing library from a missing device."""
    try:
        loaded = ctypes.CDLL(library)
    except OSError as error:
        raise ChildError("library", str(error)) from error
    try:
        loaded.tflite_plugin_create_delegate, loaded.tflite_plugin_destroy_delegate  # noqa: B018
    except AttributeError as error:
        raise ChildError("entry", str(error)) from error
    try:
        return runtime.load_delegate(library, options)
    except ValueError as error:
        raise ChildError("device", str(error)) from error


def load_model(runtime: Any, request: dict[str, Any], delegates: list[Any]) -> Any:
    """Returns an interpreter whose tensors are allocated."""
    arguments: dict[str, Any] = {"experimental_delegates": delegates} if delegates else {}
    if request["plain"]:
        kernels = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        arguments["experimental_op_resolver_type"] = kernels
    try:
        interpreter = runtime.Interpreter(
            model_path=request["model"], num_threads=request["threads"], **arguments
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ChildError("model", str(error)) from error
    return interpreter


def describe(runtime: Any) -> str:
    """Returns the runtime's name and version, such as "ai_edge_litert 2.1.0"."""
    name: str = runtime.__name__.split(".")[0]
    return f"{name} {getattr(sys.modules[name], '__version__', '')}".strip()


if __name__ == "__main__":
    main()
