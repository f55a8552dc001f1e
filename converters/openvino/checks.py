"""Checks a finished OpenVINO model: what keeps it from being a classifier that edgekit runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgekit.converters.file_task import openvino_task
from edgekit.converters.findings import ERROR, WARNING, Finding
from edgekit.converters.openvino.file import DYNAMIC, IRModel, IRTensor, read
from edgekit.system.paths import StrPath

CONTROL_FLOW = frozenset({"If", "Loop", "TensorIterator"})
_OPSET = re.compile(r"opset[1-9]\d?")


def check(path: StrPath) -> list[Finding]:
    """Returns what keeps an IR from being an image classifier that edgekit runs.

    Raises:
        UsageError: as for `read`.
    """
    return findings(read(path))


def findings(model: IRModel) -> list[Finding]:
    """As `check`, of a file that is read already."""
    return list(_findings(model))


def is_bytes(image: IRTensor) -> bool:
    """Whether an input takes the bytes of an RGB photo, u8 [1, side, side, 3]."""
    return image.dtype == "uint8" and _square(image.shape, (0, 3), (1, 3))


def is_normalised(image: IRTensor) -> bool:
    """Whether an input takes normalised values, f32 [1, 3, side, side]."""
    return image.dtype == "float32" and _square(image.shape, (0, 1), (1, 3))


def _square(shape: tuple[int, ...], fixed: tuple[int, int], wanted: tuple[int, int]) -> bool:
    if len(shape) != 4:
        return False
    sides = [size for axis, size in enumerate(shape) if axis not in fixed]
    return tuple(shape[axis] for axis in fixed) == wanted and sides[0] == sides[1] > 0


def _findings(model: IRModel) -> Iterator[Finding]:
    def error(rule: str, where: str, message: str, fix: str) -> Finding:
        return Finding(ERROR, rule, where, message, fix)

    for kind in sorted(CONTROL_FLOW & model.operators.keys()):
        yield error("control flow", kind, "it runs networks inside of it", "unroll the network")
    for opset in sorted(name for name in model.opsets if not _OPSET.fullmatch(name)):
        yield error(
            "opset",
            f"opset '{opset[:40]}'",
            "it is not one of OpenVINO's operation sets: its operators need foreign code",
            "convert the network with standard operators",
        )
    for tensor in (*model.inputs, *model.outputs):
        if DYNAMIC in tensor.shape:
            yield error(
                "static", tensor.name, "its size is known at run time only", "fix the shape"
            )
    if len(model.inputs) != 1 or not model.outputs:
        message = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        yield error("ends", "model", message, "give a classifier of one photo")
    elif not (is_bytes(model.inputs[0]) or is_normalised(model.inputs[0])):
        image = model.inputs[0]
        yield error(
            "input",
            image.name,
            f"it takes {image.dtype} {list(image.shape)}",
            "uint8 [1, side, side, 3] or float32 [1, 3, side, side] is fed",
        )
    elif not (task := openvino_task(model)).name:
        fix = "edgekit bench measures its speed; what its answers mean is not known"
        message = f"it is no image classifier: {task.problem}"
        yield Finding(WARNING, "classifier", "model", message, fix)
    if model.scheme == "w8a8-mixed":
        fix = "nothing, where NNCF or `edgekit build --keep-float` left them so"
        yield Finding(WARNING, "mixed", "model", "some of its kernels are float", fix)
