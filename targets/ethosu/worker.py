"""Runs Vela in the Python that has it; see `edgekit.targets.toolchains.child`."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from typing import Any

import numpy as np

OUT = "out"  # in the folder that this process was started in
LISTING = "--show-cpu-operations"


class RefusedError(Exception):
    """Vela does not take the model."""


def compile_model(
    arguments: dict[str, Any], arrays: dict[str, Any], progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compiles a model; what Vela prints is the log of this process.

    Args:
        arguments: ``model``, a path, and ``words`` of Vela's command line.
        arrays: none.
        progress: is not called.

    Returns:
        ``summary``, the text of Vela's table, or ``misuse``, why it does not take the words; and
        the compiled model as bytes.
    """
    from ethosu.vela import vela
    from ethosu.vela.errors import VelaError

    words = [arguments["model"], "--output-dir", OUT, *arguments["words"]]
    try:
        try:
            vela.main([*words, LISTING])
        except LookupError:  # the listing of 5.2.0 fails on networks that come in many parts
            vela.main(words)
    except VelaError as error:
        return {"misuse": str(error.data).strip("'").removeprefix("Error: ")}, {}
    except SystemExit as error:
        return {"misuse": f"Vela's parser of options ended with {error.code}"}, {}
    except RuntimeError as error:  # of its native part
        raise RefusedError(str(error)) from error
    (summary,) = glob.glob(os.path.join(OUT, "*_summary_*.csv"))
    (model,) = glob.glob(os.path.join(OUT, "*_vela.tflite"))
    with open(summary, encoding="utf-8") as text, open(model, "rb") as stream:
        return {"summary": text.read()}, {"model": np.frombuffer(stream.read(), np.uint8)}


TASKS = {"compile": compile_model}
