"""Compiles and runs a model by ONNX Runtime's QNN provider; runs in the toolchain's own Python.

Compilation is that of the chip itself. A run is Qualcomm's emulation of the chip on x86-64.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import onnxruntime_qnn
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Progress = Callable[[int, int], None]
Answer = tuple[dict[str, Any], Arrays]

_ERRORS = 3  # of the levels of its log
_TRACE = "qnn_op_trace.json"


class RefusedError(Exception):
    """The compiler does not take the model."""


def compile_model(arguments: dict[str, Any], arrays: Arrays, progress: Progress) -> Answer:
    """Writes ``NAME.onnx`` and the context binary beside it into a folder; returns the trace."""
    target = os.path.join(arguments["folder"], f"{arguments['name']}.onnx")
    entries = {
        "ep.context_enable": "1",
        "ep.context_file_path": target,
        "ep.context_embed_mode": "0",
    }
    began = time.monotonic()
    _, trace = _open(arguments, entries)
    if not os.path.exists(target):
        raise RefusedError("it compiled nothing of the model")
    return {"trace": trace, "seconds": time.monotonic() - began}, {}


def run_model(arguments: dict[str, Any], arrays: Arrays, progress: Progress) -> Answer:
    """Answers for photos, one at a time."""
    session, trace = _open(arguments, {})
    (image,), pixels, outputs = session.get_inputs(), arrays["pixels"], []
    for photo in pixels:
        fed = (photo.astype(np.float32) - arrays["mean"]) / arrays["std"]
        fed = np.ascontiguousarray(fed.transpose(2, 0, 1))[None]
        # Several are rows: all of their columns.
        answers = session.run(None, {image.name: fed})
        outputs.append(np.concatenate([one[0].astype(np.float32) for one in answers], -1))
        progress(len(outputs), len(pixels))
    return {"trace": trace}, {"outputs": np.stack(outputs)}


def _open(arguments: dict[str, Any], entries: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """A session, and what the provider says of each operator."""
    name = onnxruntime_qnn.get_ep_name()
    onnxruntime.register_execution_provider_library(name, onnxruntime_qnn.get_library_path())
    devices = [one for one in onnxruntime.get_ep_devices() if one.ep_name == name]
    if not devices:
        raise RuntimeError("ONNX Runtime does not offer the QNN provider")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    here = os.getcwd()
    provider = {
        "backend_path": onnxruntime_qnn.get_qnn_htp_path(),
        "soc_model": str(arguments["soc_model"]),
        "htp_arch": str(arguments["htp_arch"]),
        # Else the rounding of the input and of the output is the CPU's.
        "offload_graph_io_quantization": "0",
        "enable_framework_op_trace": "1",
        "framework_op_trace_dir": here,
    }
    options.add_provider_for_devices(devices[:1], provider)
    # As bytes: the names of the graphs, which are compiled in, depend on the path of a file.
    with open(arguments["model"], "rb") as stream:
        model = stream.read()
    try:
        session = onnxruntime.InferenceSession(model, options)
    except Exception as error:  # its exceptions have no common class
        raise RefusedError(str(error)) from error
    try:
        with open(os.path.join(here, _TRACE), encoding="utf-8") as stream:
            trace: dict[str, Any] = json.load(stream)
    except FileNotFoundError:
        raise RefusedError("it takes no operator of the model for this chip") from None
    return session, trace


TASKS = {"compile": compile_model, "run": run_model}
