"""Runs one task of a worker script in a toolchain's Python; it knows nothing of edgekit.

``python -I child.py FOLDER``: FOLDER/job.json names the script, the task and its arguments, and
the arrays are in FOLDER as .npy files. The script has a table ``TASKS`` of functions

    def task(arguments: dict, arrays: dict, progress: Callable[[int, int], None]) -> (dict, dict)

whose values are JSON and whose arrays are numpy's. What it returns goes to FOLDER/answer.json. An
exception whose class is called ``RefusedError`` means that the tool does not take the model.
"""

import json
import os
import runpy
import signal
import sys
import threading
import time
from typing import Any

PROTOCOL = 1


def main(folder: str) -> None:
    """Reads the job, runs it and writes the answer."""
    with open(os.path.join(folder, "job.json"), encoding="utf-8") as stream:
        job = json.load(stream)
    assert job["protocol"] == PROTOCOL  # noqa: S101 - both ends are of one installation
    threading.Thread(target=_end_with, args=(job["parent"],), daemon=True).start()
    import numpy as np

    def progress(done: int, total: int) -> None:
        _write(folder, "progress.json", {"done": done, "total": total})

    try:
        tasks = runpy.run_path(job["script"])["TASKS"]
        arrays = {
            name: np.load(os.path.join(folder, f"{name}.npy"), allow_pickle=False)
            for name in job["arrays"]
        }
        values, made = tasks[job["task"]](job["arguments"], arrays, progress)
        for name, array in made.items():
            np.save(os.path.join(folder, f"made-{name}.npy"), np.ascontiguousarray(array))
        answer = {"values": values, "arrays": list(made)}
    except Exception as error:
        import traceback

        traceback.print_exc()
        kind = "refused" if type(error).__name__.startswith("Refused") else "failed"
        name = "" if kind == "refused" else f"{type(error).__name__}: "
        answer = {"error": kind, "cause": f"{name}{error}"[:2000]}
    _write(folder, "answer.json", answer | {"protocol": PROTOCOL})


def _write(folder: str, name: str, value: dict[str, Any]) -> None:
    temporary = os.path.join(folder, f"{name}.tmp")
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(value, stream)
    os.replace(temporary, os.path.join(folder, name))


def _end_with(parent: int) -> None:
    """Ends this process, and all that it started, when edgekit was killed and could not do it."""
    while os.getppid() == parent:
        time.sleep(1)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
