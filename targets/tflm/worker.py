"""Runs a file in TFLite Micro's interpreter; it is run by a Python that has tflite-micro."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, "np.ndarray[Any, Any]"]
#: The interpreter's own guess, ten times the file, is too little for a small file of a large photo.
MOST_ARENA = 1 << 30


class Refused(Exception):  # noqa: N818 - the protocol's name
    """TFLite Micro does not take the file."""


def run(
    arguments: dict[str, Any], arrays: Arrays, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], Arrays]:
    """Answers for ``inputs`` [n, …], each fed as it is; prints the allocations.

    Args:
        arguments: ``model``, its path, and the ``places`` of its outputs that are read.
        arrays: ``inputs``.
        progress: told the inputs done, of how many.

    Returns:
        ``output0`` and so on, by the place, [n, ...], each in its own type.
    """
    interpreter = _open(arguments["model"])
    inputs = arrays["inputs"]
    outputs: dict[int, list[Any]] = {place: [] for place in arguments["places"]}
    for number, one in enumerate(inputs, 1):
        interpreter.set_input(one[None], 0)
        interpreter.invoke()
        for place, found in outputs.items():
            found.append(np.array(interpreter.get_output(place))[0])
        progress(number, len(inputs))
    interpreter.print_allocations()
    return {}, {f"output{place}": np.stack(found) for place, found in outputs.items()}


def measure(
    arguments: dict[str, Any], arrays: Arrays, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], Arrays]:
    """Prints what memory a file takes, after one run on zeros."""
    interpreter = _open(arguments["model"])
    for index in range(arguments["inputs"]):
        details = interpreter.get_input_details(index)
        interpreter.set_input(np.zeros(details["shape"], details["dtype"]), index)
    interpreter.invoke()
    interpreter.print_allocations()
    return {}, {}


def _open(path: str) -> Any:
    from tflite_micro import runtime  # every module of edgekit can be imported without it

    with open(path, "rb") as stream:
        contents = stream.read()
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:  # the exception itself gives no reason
        os.dup2(said.fileno(), 2)
        try:
            return runtime.Interpreter.from_bytes(contents, arena_size=MOST_ARENA)
        except (RuntimeError, ValueError) as error:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").split("\n")
            reasons = [line.strip() for line in lines if line.strip()]
            raise Refused("; ".join(reasons[:3] or [str(error)])) from error
        finally:
            os.dup2(kept, 2)
            os.close(kept)


TASKS = {"run": run, "measure": measure}
