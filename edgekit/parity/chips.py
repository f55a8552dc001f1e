"""Chips' own arithmetic on the int8 .tflite file, held against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from edgekit.data.images import Pixels
from edgekit.errors import UsageError
from edgekit.options.build import BuildOptions
from edgekit.parity.first_difference import find_first_difference
from edgekit.system.paths import StrPath
from edgekit.targets.base import Target
from edgekit.targets.executions import Execution

#: The file that is compared.
INT8 = "w8a8"
Array = NDArray[Any]


class ChipDifference(TypedDict):
    """The first operator that differs; see `edgekit.parity.first_difference.FirstDifference`."""

    index: int
    operator: str
    tensor: str
    steps: int
    differing: int
    values: int


class ChipResult(TypedDict):
    """A chip's own arithmetic against LiteRT's reference kernels.

    ``equal`` of ``photos`` have the same outputs, bit for bit. ``first`` is on the first photo that
    has not; None where all have, or where no part of the file alone differs.
    """

    execution: str
    runtime: str
    kind: str
    photos: int
    equal: int
    first: ChipDifference | None


def find_executions(targets: Sequence[Target]) -> list[Execution]:
    """Returns how chips run the int8 .tflite file, as far as their tools are installed.

    Raises:
        UsageError: nothing runs that file in a target's arithmetic.
        MissingToolError: none of a target's tools for it is installed.
    """
    found = []
    for target in targets:
        # What else was asked of a build does not change how a chip runs this file.
        options = BuildOptions.make("b0", targets=(target.name,))
        known = [run for run in target.executions(options) if run.of == INT8]
        if not known:
            raise UsageError(
                f"nothing runs the int8 .tflite file in the arithmetic of {target.title}",
                hint="leave --target out: LiteRT's kernels are always compared",
            )
        ready = [run for run in known if run.toolchain.is_installed]
        if not ready:
            raise known[0].toolchain.missing()
        found += ready
    return found


def run_chips(
    path: StrPath,
    executions: Sequence[Execution],
    pixels: Pixels,
    expected: Array,
    progress: Callable[[str, int, int], None],
) -> tuple[dict[str, Array], list[ChipResult]]:
    """Runs photos in each arithmetic, and finds where those depart that are not equal.

    Args:
        path: the int8 .tflite file.
        executions: of it.
        pixels: the photos, uint8 [n, height, width, 3].
        expected: what LiteRT's reference kernels answer, [n, …].
        progress: told how far it is.

    Returns:
        The outputs of those that ran all of the photos, by name; and what was found.
    """
    outputs, results = {}, []
    for execution in executions:
        batch = pixels[: execution.most]
        flat = execution.run(Path(path), batch, partial(progress, execution.row)).outputs
        ran = flat.reshape(len(flat), *expected.shape[1:])  # NHWC of maps, as in the file
        same = (ran == expected[: len(ran)]).reshape(len(ran), -1).all(axis=1)
        first = None
        if not same.all():
            photo = batch[int(np.flatnonzero(~same)[0])]
            first = find_first_difference(path, execution, photo)
        if len(ran) == len(pixels):
            outputs[execution.row] = ran
        results.append(
            ChipResult(
                execution=execution.row,
                runtime=execution.runtime,
                kind=execution.kind,
                photos=len(ran),
                equal=int(same.sum()),
                first=ChipDifference(**asdict(first)) if first else None,  # type: ignore[typeddict-item]
            )
        )
    return outputs, results
