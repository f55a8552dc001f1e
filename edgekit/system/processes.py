"""A process of our own that may crash or hang: what it says, and how it is ended.

It speaks JSON lines on its stdout.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import IO, Any

from edgekit.errors import EdgekitError
from edgekit.system.records import decode_record

GRACE_S = 5.0  # what the process gets to close the device after its answer


def messages(process: subprocess.Popen[bytes], timeout_s: float) -> Iterator[dict[str, Any]]:
    """Yields the child's messages until it closes its stdout.

    Raises:
        queue.Empty: nothing came for ``timeout_s`` seconds.
    """
    lines: queue.Queue[bytes | None] = queue.Queue()
    stdout: Any = process.stdout

    def read() -> None:
        with stdout:
            for line in stdout:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()  # select() takes no pipe on Windows
    limit_s = min(timeout_s, threading.TIMEOUT_MAX)
    while (line := lines.get(timeout=limit_s)) is not None:
        with contextlib.suppress(ValueError):  # what a shell may say on login
            yield decode_record(line, dict[str, Any])


def let_end(process: subprocess.Popen[bytes]) -> None:
    """Gives a child that has answered the time to close the device."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kills the child, and whatever it started, unless it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def last_line(stderr: IO[bytes]) -> str | None:
    """The last thing that the child or its libraries said, if anything."""
    stderr.seek(max(stderr.seek(0, os.SEEK_END) - 4096, 0))
    lines = stderr.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), None)


def died(phase: str, code: int, said: str | None) -> EdgekitError:
    """The error for a child that ended without an answer.

    Args:
        phase: what it was doing, such as "in the first run".
        code: its exit code; negative for a signal.
        said: the last line of its stderr.
    """
    if code >= 0:
        return EdgekitError(f"the runtime ended with exit code {code} {phase}", cause=said)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "free some memory: Linux kills what takes too much" if name == "SIGKILL" else None
    return EdgekitError(f"the runtime was killed by {name} {phase}", cause=said, hint=hint)
