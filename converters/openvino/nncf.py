"""The other way to an int8 OpenVINO model: NNCF, Intel's own quantizer, on the float model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import rich
from numpy.typing import NDArray

from edgekit.converters.openvino.write import name_operators
from edgekit.data.preprocessing import DEFAULT_TASK, Preprocessing
from edgekit.data.selection import evenly
from edgekit.errors import EdgekitError, UsageError
from edgekit.system.extras import import_optional
from edgekit.system.quiet import native_quiet
from edgekit.tasks.registry import find_task

#: Photos in the form of the model's input, [n, ...], and their labels, as the task has them.
Labelled = tuple[NDArray[Any], NDArray[Any]]
#: What keeps NNCF from reporting its use and from writing an id of the user to the home folder:
#: its own variable (nncf/definitions.py), and the one of its telemetry package
#: (github.com/openvinotoolkit/telemetry, utils/opt_in_checker.py). Both are read on import.
_NO_TELEMETRY = {"NNCF_CI": "1", "CI": "true"}
DEFAULT_SUBSET = 300  # NNCF's own


def nncf() -> Any:
    """Imports NNCF with its telemetry off, and its messages kept to warnings.

    Raises:
        MissingToolError: it is not installed.
    """
    before = {name: os.environ.get(name) for name in _NO_TELEMETRY}
    os.environ.update(_NO_TELEMETRY)
    try:
        nncf = import_optional("nncf", "openvino")
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    nncf.set_log_level(logging.WARNING)
    return nncf


def quantize_nncf(
    model: Any,
    batches: Iterable[NDArray[Any]],
    *,
    fast_bias_correction: bool = True,
    max_drop: float | None = None,
    validate: Sequence[Labelled] = (),
    subset_size: int = DEFAULT_SUBSET,
    preprocessing: Preprocessing | None = None,
) -> Any:
    """Quantizes a float model with NNCF: preset MIXED, which is its advice for swish.

    The same model and photos give the same integers.

    Args:
        model: of `edgekit.converters.openvino.write.convert`, float; left as it is.
        batches: calibration photos in the form of the model's input: uint8 [n, height, width, 3],
            or float32 [n, 3, height, width].
        fast_bias_correction: from statistics of one pass; else layer by layer, slower.
        max_drop: at most this many percentage points of the metric on ``validate`` may be
            lost; layers go back to float until it holds
            (`nncf.quantize_with_accuracy_control`). None: as it comes.
        validate: labelled photos for ``max_drop``, in batches.
        subset_size: calibration photos that are used at most, evenly spread over all.
        preprocessing: of the photos; its task is whose metric it is, classification without it.

    Returns:
        A new `openvino.Model` with the input, the output and the rt_info of ``model``.

    Raises:
        UsageError: no photos, photos of another form, or ``max_drop`` without ``validate``.
        MissingToolError: NNCF is not installed.
        EdgekitError: NNCF failed.
    """
    photos = list(_singles(model, batches))
    photos = [photos[k] for k in evenly(len(photos), subset_size)]
    labelled = [
        (photo, labels[place : place + 1])
        for batch, labels in validate
        for place, photo in enumerate(_singles(model, [batch]))
    ]
    if not photos:
        raise UsageError("NNCF needs calibration photos", hint="give `batches`")
    if max_drop is not None and not labelled:
        raise UsageError("a bound of the drop needs labelled photos", hint="give `validate`")
    tool = nncf()
    options = {
        "preset": tool.QuantizationPreset.MIXED,
        "target_device": tool.TargetDevice.ANY,
        "subset_size": len(photos),
        "fast_bias_correction": fast_bias_correction,
    }
    dataset = tool.Dataset(photos)
    try:
        with quiet():
            if max_drop is None:
                quantized = tool.quantize(model, dataset, **options)
            else:
                quantized = tool.quantize_with_accuracy_control(
                    model,
                    dataset,
                    tool.Dataset(labelled, lambda item: item[0]),
                    partial(_score, preprocessing),
                    max_drop=max_drop / 100,
                    drop_type=tool.DropType.ABSOLUTE,
                    **options,
                )
    except (RuntimeError, ValueError, tool.InternalError, tool.ValidationError) as error:
        raise EdgekitError("NNCF could not quantize the model", cause=str(error)[:500]) from error
    quantized.set_rt_info("nncf", ["edgekit", "quantizer"])
    name_operators(quantized)
    return quantized


def _singles(model: Any, batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Photos one at a time, as a model of batch 1 takes them."""
    wanted, dtype = tuple(model.input().shape), model.input().get_element_type().to_dtype()
    for photo in chain.from_iterable(batches):
        if photo[None].shape != wanted or photo.dtype != dtype:
            raise UsageError(
                f"a photo is {photo.dtype} {list(photo.shape)}",
                cause=f"the model takes {np.dtype(dtype)} {list(wanted[1:])}",
            )
        yield np.ascontiguousarray(photo[None])


def _score(
    preprocessing: Preprocessing | None,
    compiled: Any,
    items: Iterable[tuple[NDArray[Any], NDArray[Any]]],
) -> tuple[float, list[float]]:
    """The metric of the photos, and that of each alone: 0 where a photo has none."""
    task = find_task(preprocessing.task if preprocessing else DEFAULT_TASK)
    total: NDArray[np.float64] = np.zeros(1)
    scores = []
    for photo, label in items:
        tally = task.tally(task.keep(_answer(compiled(photo)), preprocessing), label)
        total = total + np.array(tally)
        scores.append(float(np.nan_to_num(task.score(tally))))
    return task.score(total.tolist()), scores


def _answer(found: Any) -> NDArray[Any]:
    """The outputs of one run as tasks take them: maps NHWC, several joined along their columns."""
    outputs = list(found.values())
    output = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, -1)
    return np.moveaxis(output, 1, -1) if output.ndim == 4 else output


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps NNCF's progress bars, which go to rich's common console, off the terminal."""
    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        with native_quiet():
            yield
    finally:
        console.quiet = before
