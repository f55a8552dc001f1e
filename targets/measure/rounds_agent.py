"""The program that times many small .tflite files on a device, in rounds: sent beside ``agent.py``.

``rounds_agent.py REQUEST.json`` keeps the files of a request loaded at once and runs each of them
once a round, so that what slows a device down for a while falls on all of them alike, and no file's
weights are in a cache that a network would have emptied meanwhile. It needs what ``agent.py`` does.

A request:
    pack: a file with all of them one behind the other.
    sizes: bytes of each.
    threads: of the kernels.
    rounds: how many are timed, after one that is not.
    clock: ``cpu`` for the time of the thread that runs, ``wall`` for that which passes.

Its answers, lines of JSON on stdout: ``{"runtime": name and version}``, ``{"file": index}`` before
each is loaded and first run, ``{"seconds": one of each file}`` for each round, and at the end
``{"done": true}`` or ``{"error": kind, "cause": text}``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __name__ != "__main__":
    from edgekit.targets.measure import agent
else:  # on a device, where there is no edgekit, and the other is in the same folder
    import agent

#: The clocks by name. The CPU time of one thread is what other programs disturb the least.
CLOCKS: dict[str, Callable[[], float]] = {"cpu": time.thread_time, "wall": time.perf_counter}


def main() -> None:
    """Answers one request."""
    here = os.path.dirname(os.path.abspath(__file__))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    heard = [time.monotonic()]
    threading.Thread(target=agent.wait_for_silence, args=(here, [], heard), daemon=True).start()
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            time_all(json.load(file), say)
    except agent.ChildError as error:
        kind, cause = error.args
        say(error=kind, cause=cause)
    except Exception as error:
        say(error="run", cause=str(error) or type(error).__name__)
    over = time.monotonic()
    while heard[0] < over:  # somebody is there to remove the folder, or we do it
        time.sleep(0.02)


def time_all(request: dict[str, Any], say: Callable[..., None]) -> None:
    """Loads every file, runs all of them round by round, and says how long each took."""
    runtime = agent.load_runtime()
    say(runtime=agent.describe(runtime))
    clock, loaded = CLOCKS[request["clock"]], []
    with open(request["pack"], "rb") as pack:
        for index, size in enumerate(request["sizes"]):
            say(file=index)
            loaded.append(load(runtime, pack.read(size), request["threads"]))
    for _ in range(request["rounds"]):
        seconds = []
        for interpreter in loaded:
            start = clock()
            interpreter.invoke()
            seconds.append(clock() - start)
        say(seconds=seconds)
    say(done=True)


def load(runtime: Any, contents: bytes, threads: int) -> Any:
    """Returns an interpreter that has run once, on values of chance."""
    import numpy as np

    try:
        interpreter = runtime.Interpreter(model_content=contents, num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise agent.ChildError("model", str(error)) from error
    rng = np.random.default_rng(0)
    for item in interpreter.get_input_details():
        values = rng.integers(-100, 100, item["shape"]).astype(item["dtype"])
        interpreter.set_tensor(item["index"], values)
    interpreter.invoke()
    return interpreter


if __name__ == "__main__":
    main()
