"""Runs Arm's TOSA reference model in the Python that has it.

See `edgekit.targets.toolchains.child`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np

MLIR, FLATBUFFER = "model.mlirbc", "model.tosa"  # in the folder this process was started in


class RefusedError(Exception):
    """The tools do not take the model."""


def run(
    arguments: dict[str, Any], arrays: dict[str, Any], progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts a .tflite file to TOSA and runs it, input by input.

    Args:
        arguments: ``model``, its path.
        arrays: ``inputs``, [n, ...] as the model's input; the tools know no unsigned integers,
            and take their bits for signed ones.
        progress: called with the inputs done, and with how many there are.

    Returns:
        Nothing, and ``output0`` and so on, [n, ...] of each output.
    """
    import tosa_reference_model

    model = _convert(arguments["model"])
    inputs = arrays["inputs"]
    if inputs.dtype == np.uint8:
        inputs = inputs.view(np.int8)
    outputs = []
    for place, one in enumerate(inputs):
        made, status = tosa_reference_model.run(model, [one[None]])
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise RuntimeError(f"the reference model says {status} of input {place}")
        outputs.append([one[0] for one in made])
        progress(place + 1, len(inputs))
    each = enumerate(zip(*outputs, strict=True))
    return {}, {f"output{place}": np.stack(found) for place, found in each}


def _convert(path: str) -> bytes:
    """The file as TOSA, for the reference model."""
    import tosa_converter_for_tflite

    try:
        tosa_converter_for_tflite.tflite_flatbuffer_to_tosa_mlir(path, MLIR)
    except (RuntimeError, ValueError) as error:
        raise RefusedError(str(error)) from error
    command = ["tosa-opt", "--tosa-convert-integer-type-to-signless", "--tosa-serialize"]
    command += [f"--tosa-flatbuffer-filename={FLATBUFFER}", "-o", "/dev/null", MLIR]
    ran = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a list
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip()
        raise RefusedError(f"tosa-opt ended with {ran.returncode}: {said[-500:]}")
    with open(FLATBUFFER, "rb") as stream:
        return stream.read()


TASKS = {"run": run}
