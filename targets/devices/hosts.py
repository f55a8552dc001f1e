"""Hosts on which a program runs: what any of them can do, and this machine as one."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

BEAT_S = 0.5  # how often a followed program gets a sign of life
SAID = 4096  # bytes of its stderr that are kept

Line = Callable[[str], None]
Beat = Callable[[], None]


@dataclass(frozen=True)
class Ran:
    """How a program ended.

    Attributes:
        code: its exit code, minus the number of the signal that ended it, or None when it took
            too long and was stopped.
        text: what it printed on stdout and stderr, in that order of time.
    """

    code: int | None
    text: str


class Host(Protocol):
    """A machine with a shell and files; names of files there are absolute paths."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def which(self, program: str) -> str | None:
        """Returns where a program is; None where it is not there or cannot be run."""

    def folder(self, name: str | None = None) -> AbstractContextManager[str]:
        """Makes a folder there that is gone, with all that is in it, afterwards.

        Args:
            name: letters, digits and hyphens. Such a folder stays where the connection breaks off
                before it can be removed, and the next one of this name finds what is in it.
                Without a name it is a fresh one.
        """

    def put(self, source: Path, target: str) -> None:
        """Copies a file to the host, and checks what has arrived."""

    def get(self, source: str, target: Path) -> bool:
        """Copies a file from the host; returns False where there is no such file."""

    def run(self, arguments: Sequence[str], folder: str, timeout_s: float) -> Ran:
        """Runs a program in a folder there; one that takes longer is killed with its children."""

    def follow(
        self, arguments: Sequence[str], folder: str, timeout_s: float, line: Line, beat: Beat
    ) -> Ran:
        """Runs a program in a folder there, and hears what it says as it says it.

        The program gets an empty line on stdin every `BEAT_S` seconds: where these cease, or stdin
        ends, nobody listens any more.

        Args:
            arguments: the program and its arguments.
            folder: where it runs.
            timeout_s: how long it may say nothing; then it is killed with its children.
            line: is called with each line of its stdout.
            beat: is called every `BEAT_S` seconds; what it raises, or `line` does, stops the
                program.

        Returns:
            How it ended, and the end of what it said on stderr.
        """


class LocalHost:
    """This machine."""

    name = "this machine"

    def which(self, program: str) -> str | None:
        """Returns where a program is; None where it is not there or cannot be run."""
        found = shutil.which(program)
        return os.path.abspath(found) if found else None

    @contextmanager
    def folder(self, name: str | None = None) -> Iterator[str]:
        """Makes a fresh folder that is gone afterwards; nothing here breaks off."""
        with tempfile.TemporaryDirectory(prefix="edgekit-") as path:
            yield path

    def put(self, source: Path, target: str) -> None:
        """Copies a file."""
        shutil.copyfile(source, target)

    def get(self, source: str, target: Path) -> bool:
        """Copies a file; returns False where there is none."""
        if not os.path.isfile(source):
            return False
        shutil.copyfile(source, target)
        return True

    def run(self, arguments: Sequence[str], folder: str, timeout_s: float) -> Ran:
        """Runs a program in a session of its own, which ends with it."""
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(  # noqa: S603 - a list, no shell
                arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = _wait(process, timeout_s)
            output.seek(0)
            return Ran(code, output.read().decode("utf-8", errors="replace"))

    def follow(
        self, arguments: Sequence[str], folder: str, timeout_s: float, line: Line, beat: Beat
    ) -> Ran:
        """Runs a program in a session of its own, and hears what it says as it says it."""
        return follow(arguments, folder, timeout_s, line, beat)


def follow(
    arguments: Sequence[str], folder: str | None, timeout_s: float, line: Line, beat: Beat
) -> Ran:
    """Runs a program of this machine as `Host.follow` says, in a session of its own."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            arguments,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        try:
            in_time = _listen(process, timeout_s, line, beat)
            code = _wait(process, timeout_s) if in_time else None
        finally:
            _wait(process, 0)
            with contextlib.suppress(OSError):
                process.stdin and process.stdin.close()
        said.seek(max(said.seek(0, os.SEEK_END) - SAID, 0))
        return Ran(code, said.read().decode("utf-8", errors="replace"))


def _listen(process: subprocess.Popen[bytes], timeout_s: float, line: Line, beat: Beat) -> bool:
    """Hands on lines until stdout ends; False where the program said nothing for too long."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None  # noqa: S101 - both are pipes
    assert stdout is not None  # noqa: S101

    def read() -> None:
        with stdout:
            for text in stdout:
                lines.put(text)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    heard = beaten = time.monotonic()
    while time.monotonic() - heard < timeout_s:
        if time.monotonic() - beaten >= BEAT_S:
            beaten = time.monotonic()
            with contextlib.suppress(OSError):  # it does not read, or is gone
                stdin.write(b"\n")
                stdin.flush()
            beat()
        try:
            text = lines.get(timeout=BEAT_S)
        except queue.Empty:
            continue
        if text is None:
            return True
        heard = time.monotonic()
        line(text.decode("utf-8", errors="replace").rstrip("\r\n"))
    return False


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Waits for a process; kills it and its children when that takes too long or is interrupted."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
