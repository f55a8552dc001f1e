"""One task in a toolchain's Python: a child process with a time limit, over files and JSON.

A maker's tool is native code that may crash, hang, fill the terminal or change the process that it
runs in; here it takes nothing but its own process with it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import CompileError, EdgekitError
from edgekit.system import processes
from edgekit.system.files import read_json, write_json
from edgekit.targets.toolchains.child import PROTOCOL
from edgekit.targets.toolchains.toolchain import Toolchain

CHILD = Path(__file__).with_name("child.py")
POLL_S = 0.1

#: Called with how much is done, photos for example, and with how much there is.
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        script: a file with a table ``TASKS``; see `edgekit.targets.toolchains.child`. It imports
            the maker's packages and nothing of edgekit.
        task: which of them.
        arguments: JSON values; paths as text, and absolute.
        arrays: by name.
    """

    script: Path
    task: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """A task that has ended.

    Attributes:
        values: JSON values.
        arrays: by name.
        log: all that the tool printed.
        seconds: that the process took.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    log: str
    seconds: float


def run_job(
    toolchain: Toolchain, job: Job, *, timeout_s: float, advance: Advance | None = None
) -> Done:
    """Runs a task in a toolchain.

    Args:
        toolchain: whose Python runs it.
        job: the task.
        timeout_s: how many seconds it may take in all.
        advance: called with how much of it is done, and of how much.

    Raises:
        MissingToolError: the toolchain is not installed.
        CompileError: the tool does not take the model.
        EdgekitError: the tool failed, crashed or hung.
    """
    python = toolchain.python
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        folder = Path(name)
        for key, array in job.arrays.items():
            np.save(folder / f"{key}.npy", np.ascontiguousarray(array))
        write_json(
            folder / "job.json",
            {
                "protocol": PROTOCOL,
                "parent": os.getpid(),
                "script": str(job.script.resolve()),
                "task": job.task,
                "arguments": dict(job.arguments),
                "arrays": list(job.arrays),
            },
        )
        began = time.monotonic()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - a list, no shell
                [str(python), "-I", str(CHILD), name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=name,
                env=child_environment(python),
                start_new_session=True,
            )
            try:
                _wait(process, toolchain, job, folder, timeout_s, advance)
            finally:
                processes.stop(process)
        seconds = time.monotonic() - began
        printed = (folder / "log").read_text("utf-8", errors="replace")
        answer = _read_answer(toolchain, job, folder, process.returncode)
        arrays = {
            key: np.load(folder / f"made-{key}.npy", allow_pickle=False) for key in answer["arrays"]
        }
    return Done(answer["values"], arrays, printed, seconds)


def child_environment(python: Path) -> dict[str, str]:
    """Ours, with the programs of the toolchain first."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])}


def _wait(
    process: subprocess.Popen[bytes],
    toolchain: Toolchain,
    job: Job,
    folder: Path,
    timeout_s: float,
    advance: Advance | None,
) -> None:
    limit, shown = time.monotonic() + timeout_s, None
    while process.poll() is None:
        if time.monotonic() > limit:
            with (folder / "log").open("rb") as log:
                said = processes.last_line(log)
            raise EdgekitError(
                f"{toolchain.title} did not finish '{job.task}' within {timeout_s:g} s",
                cause=said,
                hint="try again on an idle machine; `edgekit targets` shows which have a timeout",
            )
        shown = _tell(folder, advance, shown)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
    _tell(folder, advance, shown)


def _tell(folder: Path, advance: Advance | None, shown: Any) -> Any:
    """Passes on how far the task is, unless that has been shown; returns what is shown then."""
    with contextlib.suppress(OSError, ValueError):
        told = read_json(folder / "progress.json")
        if advance is not None and told != shown:
            advance(told["done"], told["total"])
        return told
    return shown


def _read_answer(toolchain: Toolchain, job: Job, folder: Path, code: int) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = read_json(folder / "answer.json")
    except (OSError, ValueError):
        with (folder / "log").open("rb") as log:
            raise processes.died(f"in '{job.task}'", code, processes.last_line(log)) from None
    if "error" not in answer:
        return answer
    if answer["error"] == "refused":
        raise CompileError(f"{toolchain.title} does not take the model", cause=answer["cause"])
    raise EdgekitError(f"{toolchain.title} failed in '{job.task}'", cause=answer["cause"])
