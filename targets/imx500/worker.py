"""Quantizes, runs and converts networks; it is run by a Python that has Sony's packages."""

from __future__ import annotations

import functools
import json
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, "np.ndarray[Any, Any]"]
Progress = Callable[[int, int], None]
BATCH = 8
#: In the model's ``metadata_props``.
RECORD = "edgekit"
#: Of MCT's description of the chip.
CAPABILITIES = {"tpc_version": "1.0", "device_type": "imx500"}


class Refused(Exception):  # noqa: N818 - the protocol's name
    """Sony's converter does not take the network."""


def quantize(
    arguments: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], Arrays]:
    """Quantizes the module of a plan with MCT, and writes it as ONNX.

    Args:
        arguments: ``builder``, the file whose ``build`` makes a module of ``plan`` and the arrays;
            ``record``, the text that the file keeps.
        arrays: the module's state dict, and ``calibration``, photos uint8 [n, height, width, 3].
        progress: told the photos that MCT has seen.

    Returns:
        The file as ``model``.
    """
    mct = _import_mct()
    import onnx
    import torch

    photos = arrays.pop("calibration")
    module = runpy.run_path(arguments["builder"])["build"](arguments["plan"], arrays)

    def calibration() -> Iterator[list[np.ndarray[Any, Any]]]:
        for start in range(0, len(photos), BATCH):
            yield [_planes(photos[start : start + BATCH])]
            progress(min(start + BATCH, len(photos)), len(photos))

    quantized, _ = mct.ptq.pytorch_post_training_quantization(
        module,
        calibration,
        target_platform_capabilities=mct.get_target_platform_capabilities(**CAPABILITIES),
    )
    # MCT's exporter knows the older way of torch's, which is no longer the default.
    torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
    mct.exporter.pytorch_export_model(
        model=quantized, save_model_path="model.onnx", repr_dataset=calibration
    )
    model = onnx.load("model.onnx")
    onnx.helper.set_model_props(model, {RECORD: arguments["record"]})
    return {}, {"model": np.frombuffer(model.SerializeToString(), np.uint8)}


def _import_mct() -> Any:
    """MCT imports torchvision for detectors, whose compiled part is for torch with CUDA.

    Without that part two of its operators are unknown, which its Python part takes for granted;
    no network here has them.
    """
    import torch

    for name in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    import model_compression_toolkit

    return model_compression_toolkit


def _planes(photos: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(photos.transpose(0, 3, 1, 2), np.float32)


def run(
    arguments: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], Arrays]:
    """Answers for ``photos``, uint8 [n, height, width, 3], with MCT's operators.

    Returns:
        ``outputs`` [n, ...], maps NCHW; of several, which are rows, all of their columns.
    """
    import onnxruntime
    from mct_quantizers import get_ort_session_options

    options = get_ort_session_options()
    options.log_severity_level = 3  # else it warns of each shape that depends on the batch
    session = onnxruntime.InferenceSession(arguments["model"], options)
    (source,), photos, outputs = session.get_inputs(), arrays["photos"], []
    for number in range(len(photos)):
        feed = {source.name: _planes(photos[number : number + 1])}
        outputs.append(np.concatenate([one[0] for one in session.run(None, feed)], axis=-1))
        progress(number + 1, len(photos))
    return {}, {"outputs": np.stack(outputs)}


def read(
    arguments: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], Arrays]:
    """Reads a file's record, and the kinds of its operators."""
    import onnx

    model = onnx.load(arguments["model"])
    records = {entry.key: entry.value for entry in model.metadata_props}
    kinds = sorted({node.op_type for node in model.graph.node})
    return {"record": records.get(RECORD), "kinds": kinds}, {}


def convert(
    arguments: dict[str, Any], arrays: Arrays, progress: Progress
) -> tuple[dict[str, Any], Arrays]:
    """Converts a file; ``words`` are further options of `imxconv-pt`.

    Returns:
        ``code`` of the converter; ``report``, its memory report, and ``layers``, how many layers
        the chip runs, where it got so far; what it made as ``packer``.
    """
    # For the converter and for the programs that it starts.
    os.environ["PYTHONPATH"] = arguments["pythonpath"]
    sys.path.insert(0, arguments["pythonpath"])
    from imx500_converter.main_pt import main

    out = Path("converted")
    words = ["-i", arguments["model"], "-o", str(out), "--report-size-unit", "B"]
    try:
        code = main([*words, *arguments["words"]])
    except SystemExit as ended:  # its way to refuse a command line
        code = ended.code
    values: dict[str, Any] = {"code": code if isinstance(code, int) else 1, "report": None}
    for path in out.glob("*_MemoryReport.json"):
        values["report"] = json.loads(path.read_text("utf-8"))
    layers = [path.read_text("utf-8").count("\nlayer {") for path in out.glob("*.pbtxt")]
    packer = out / "packerOut.zip"
    made = {"packer": np.fromfile(packer, np.uint8)} if packer.is_file() else {}
    return values | {"layers": sum(layers)}, made


TASKS = {"quantize": quantize, "run": run, "read": read, "convert": convert}
