"""Each operator of a file on equal inputs: LiteRT's kernels against the integer simulation."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from edgekit.converters.tflite.file import Operator, TFLiteModel
from edgekit.converters.tflite.slice import Slicer
from edgekit.errors import EdgekitError
from edgekit.parity.box_kernels import clear_boxes
from edgekit.parity.executions import Array, Progress
from edgekit.parity.integer_kernels import run_outputs
from edgekit.runtimes.interpreter import Kernels

#: Steps that an operator may be off on equal inputs, by kernels.
TOLERANCES = {"builtin": 0, "xnnpack": 1}


class OperatorResult(TypedDict):
    """One operator on equal inputs: its largest difference from the simulation, in steps.

    ``xnnpack`` is None where LiteRT refuses the operator alone; then it is not ``ok``.
    """

    index: int
    operator: str
    tensor: str
    builtin: int
    xnnpack: int | None
    ok: bool


def compare_operators(
    contents: bytes,
    model: TFLiteModel,
    wanted: TFLiteModel,
    values: Mapping[int, Array],
    names: Mapping[int, str],
    progress: Progress,
) -> list[OperatorResult]:
    """Compares each operator on the inputs that LiteRT's built-in kernels gave it.

    Args:
        contents: of the file.
        model: the same, read.
        wanted: the file as it should be.
        values: what the built-in kernels gave, by tensor index, [n, ...].
        names: of the tensors, by index.
        progress: told how far it is.
    """
    slicer = Slicer(contents)
    results = []
    for op, right in zip(model.operators, wanted.operators, strict=True):
        progress("operators", op.index + 1, len(model.operators))
        fed = [i for i in op.inputs if i in values]  # a map that is added to itself comes twice
        inputs = {i: values[i] for i in fed}
        expected = run_outputs(wanted, right, inputs)
        builtin = _furthest(op, [values[i] for i in op.outputs], expected)
        xnnpack: int | None = None
        with contextlib.suppress(EdgekitError):
            near = run_outputs(wanted, right, inputs, xnnpack=True)
            alone = _run_alone(slicer.cut(op.index), [values[i] for i in fed])
            xnnpack = _furthest(op, alone, near)
        fits = builtin <= TOLERANCES["builtin"]
        fits &= xnnpack is not None and xnnpack <= TOLERANCES["xnnpack"]
        results.append(
            OperatorResult(
                index=op.index,
                operator=op.name,
                tensor=names[op.outputs[0]],
                builtin=builtin,
                xnnpack=xnnpack,
                ok=fits,
            )
        )
    return results


def _run_alone(contents: bytes, fed: Sequence[Array]) -> list[Array]:
    """XNNPACK's kernel on what each photo gave the operator."""
    kernels = Kernels(contents, "xnnpack")
    each = [kernels.run_all([a[n : n + 1] for a in fed]) for n in range(len(fed[0]))]
    return [np.concatenate(found) for found in zip(*each, strict=True)]


def _furthest(op: Operator, found: Sequence[Array], expected: Sequence[Array]) -> int:
    """The largest difference in steps; floats that are not equal count as one step apart."""
    if op.is_custom:
        found = clear_boxes(found)
    return max(_apart(*pair) for pair in zip(found, expected, strict=True))


def _apart(found: Array, expected: Array) -> int:
    if found.dtype == np.float32:
        return int(not np.allclose(found, expected, rtol=1e-6, atol=0))
    return int(np.abs(found.astype(np.int32) - expected).max(initial=0))
