"""Loads and runs model files for `edgekit.bench.side_by_side`: the other side of its pipe.

It is a process of its own, so that a runtime's native code may crash or hang without loss, and so
that no runtime shares its threads or memory with another. It answers each line of JSON on stdin
with one on stdout: ``{"result": ...}``, or ``{"error": ...}`` as `_describe` has it. What
libraries print on stdout goes to stderr. It ends when stdin does.

A request:
    file: a number for the file; it is loaded when that is first asked for.
    path: of the file.
    threads: of the runtime's kernels.
    photo: path of the photo that it is given; null for the drawn picture.
    seconds: how long a burst of runs lasts; 0 to load the file and run it once.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from edgekit.data.images import Pixels, decode_image
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.test_image import draw
from edgekit.errors import EdgekitError, UsageError
from edgekit.runtimes.base import Runnable
from edgekit.runtimes.open import RUNTIMES, open_classifier, open_unfed, read_about

#: For a file that does not say how it is fed: the speed does not depend on it.
NEUTRAL = Preprocessing(224, (127.5,) * 3, (127.5,) * 3, (), 1.0, "bilinear")


def main() -> None:
    """Answers requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    loaded: dict[int, Runnable] = {}
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            answer = {"result": _answer(request, loaded)}
        except Exception as error:
            answer = {"error": _describe(error, request["path"])}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(request: dict[str, Any], loaded: dict[int, Runnable]) -> Any:
    file, result = request["file"], None
    if file not in loaded:
        loaded[file], result = load(
            request["path"],
            request["threads"],
            request["photo"],
            request["device"],
            request["cache"],
        )
    return burst(loaded[file], request["seconds"]) if request["seconds"] else result


def load(
    path: str, threads: int, photo: str | None, device: str = "CPU", cache: str | None = None
) -> tuple[Runnable, dict[str, Any]]:
    """Loads a file, and runs it once; see `edgekit.runtimes.open.open_classifier`.

    Returns:
        The model with its input set, and ``runtime`` (name and version), ``scheme`` (of its
        quantization), ``load_ms``, ``first_ms`` and ``memory_bytes``: by how much the resident
        set is larger than with the runtime alone, None where the system does not say.
    """
    if runtime := RUNTIMES.get(Path(path).suffix.lower()):
        runtime.load_libraries()
    before = _resident()
    model = _open(path, threads=threads, device=device, cache=Path(cache) if cache else None)
    model.set_input(model.feed(draw(model.side, model.width)))
    first_ms = _run(model)
    after = _resident()
    about = read_about(path)
    if photo is not None:
        model.set_input(model.feed(_pixels(decode_image(Path(photo)), model, about.preprocessing)))
    return model, {
        "runtime": model.runtime,
        "scheme": about.scheme,
        "size_bytes": about.size_bytes,
        "not_a_classifier": None if about.task.name else about.not_a_classifier,
        "load_ms": model.load_seconds * 1e3,
        "first_ms": first_ms,
        "memory_bytes": None if before is None or after is None else after - before,
    }


def burst(model: Runnable, seconds: float) -> list[float]:
    """Runs a model over and over; milliseconds of each run, at least one.

    The run before them is not counted: others have had the caches and the cores since the last.
    """
    model.invoke()
    end = time.perf_counter() + seconds
    times = [_run(model)]
    while time.perf_counter() < end:
        times.append(_run(model))
    return times


def _run(model: Runnable) -> float:
    began = time.perf_counter()
    model.invoke()
    return (time.perf_counter() - began) * 1e3


def _open(path: str, **options: Any) -> Runnable:
    """Opens a file with its own normalization, and one without any with some."""
    if unfed := open_unfed(path, options["threads"]):
        return unfed
    try:
        return open_classifier(path, **options)
    except UsageError:
        return open_classifier(path, **options, preprocessing=NEUTRAL)


def _pixels(photo: Image, model: Runnable, record: Preprocessing | None) -> Pixels:
    """A photo of the size that a model takes; one that is not square has no preprocessing."""
    if model.width != model.side:
        return np.array(photo.convert("RGB").resize((model.width, model.side)))
    return replace(record or NEUTRAL, resolution=model.side).pixels(photo)


def _resident() -> int | None:
    """The resident set in bytes; None where the system does not say.

    Not its peak: that would count what our own reading of the file took.
    """
    gc.collect()
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"^VmRSS:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _describe(error: Exception, path: str) -> dict[str, Any]:
    """An error as JSON: its exit code and words."""
    if isinstance(error, EdgekitError):
        words = {"message": error.message, "cause": error.cause, "hint": error.hint}
        return {"exit_code": error.exit_code, **words}
    cause = f"{type(error).__name__}: {error}"
    return {"exit_code": 1, "message": f"{path} cannot be run", "cause": cause, "hint": None}


if __name__ == "__main__":
    main()
