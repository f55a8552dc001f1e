"""Compiles and simulates a model by RKNN-Toolkit2; runs in the toolchain's own Python."""

from __future__ import annotations

import ctypes
import io
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rknn.api import RKNN

Arrays = dict[str, NDArray[Any]]
Progress = Callable[[int, int], None]
Answer = tuple[dict[str, Any], Arrays]

#: Where all that is printed goes (edgekit.targets.toolchains.work).
_LOG = "log"
_ERROR = re.compile(r"^(?:\x1b\[[\d;]*m)*E(?:\x1b\[[\d;]*m)* (?!rknn-toolkit2 version)(.+)$", re.M)


class RefusedError(Exception):
    """The compiler does not take the model."""


def compile_model(arguments: dict[str, Any], arrays: Arrays, progress: Progress) -> Answer:
    """Writes the .rknn file; what the compiler says of it is printed."""
    began = time.monotonic()
    # Without it no list of operators and memory is printed.
    rknn = _build(arguments, verbose=True)
    _demand(rknn.export_rknn(arguments["out"]), "export")
    return {"seconds": time.monotonic() - began}, {}


def run_model(arguments: dict[str, Any], arrays: Arrays, progress: Progress) -> Answer:
    """Answers for photos, one at a time, in the simulator."""
    rknn = _build(arguments, verbose=False)
    _demand(rknn.init_runtime(), "the start of the simulator")
    pixels, outputs = arrays["pixels"], []
    for photo in pixels:
        # Several are rows: all of their columns.
        answers = rknn.inference(inputs=[photo[None]], data_format=["nhwc"])
        outputs.append(np.concatenate([np.asarray(one, np.float32)[0] for one in answers], -1))
        progress(len(outputs), len(pixels))
    return {}, {"outputs": np.stack(outputs)}


def _build(arguments: dict[str, Any], verbose: bool) -> Any:
    _print_whole_lines()
    rknn = RKNN(verbose=verbose)
    # With them what is built takes the bytes of a photo; without, what the .onnx file takes.
    normalization = {
        f"{short}_values": [arguments[short]] for short in ("mean", "std") if arguments[short]
    }
    configured = rknn.config(
        target_platform=arguments["platform"],
        optimization_level=arguments["optimization_level"],
        **normalization,
    )
    _demand(configured, "configuration")
    try:
        _demand(rknn.load_onnx(model=arguments["model"]), "loading")
        _demand(rknn.build(do_quantization=False), "building")
    except ValueError as error:  # all that it raises, with a traceback as its text
        raise RefusedError(str(error).strip().splitlines()[-1]) from error
    return rknn


def _print_whole_lines() -> None:
    """Else an error of the compiler, or of its Python part, lands in a row of its table."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    libc, by_line = ctypes.CDLL(None), 1  # _IOLBF
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, by_line, 0)


def _demand(code: int | None, step: str) -> None:
    """Some steps return nothing where they succeed."""
    if code not in (0, None):
        sys.stdout.flush()
        sys.stderr.flush()
        said = []
        if os.path.exists(_LOG):
            with open(_LOG, encoding="utf-8", errors="replace") as stream:
                said = _ERROR.findall(stream.read())
        raise RefusedError(said[-1].strip() if said else f"{step} ended with {code}")


TASKS = {"compile": compile_model, "run": run_model}
