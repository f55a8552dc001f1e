"""The process of one library of benchmarks/training.py, which idles while others have their turn.

It answers each line of JSON on stdin with one on stdout: first the setup, with what the network
is, then ``{"mode": ..., "steps": ...}`` with images per second; ``{"problem": ...}`` where it
cannot. What libraries print goes to stderr. It ends when stdin does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from training_peers import Edgekit, Library, Setup, Timm

from edgekit.errors import EdgekitError


def _keras(setup: Setup) -> Library:
    from training_keras import Keras

    return Keras(setup)


LIBRARIES: dict[str, Callable[[Setup], Library]] = {
    "edgekit": Edgekit,
    "timm": Timm,
    "timm-plain": partial(Timm, keep=False),
    "keras": _keras,
}


def main() -> None:
    """Opens a library and measures until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    library: Library | None = None
    setup = Setup(**json.loads(sys.stdin.readline()))
    request: dict[str, Any] | None = None
    while True:
        try:
            if library is None:
                library = LIBRARIES[sys.argv[1]](setup)
                answer: dict[str, Any] = {
                    "parameters": library.parameters,
                    "macs": library.macs,
                    "note": library.note,
                }
            elif request is not None:
                answer = {"images_per_s": library.images_per_s(**request, batch=setup.batch)}
        except EdgekitError as error:
            answer = {"problem": ": ".join(filter(None, (error.message, error.hint)))}
        except Exception as error:  # any fault of a library is a line of the table
            answer = {"problem": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line or library is None:
            return
        request = json.loads(line)


if __name__ == "__main__":
    main()
