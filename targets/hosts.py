"""Hosts on which a program runs: what any of them can do, and this machine as one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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

    def folder(self) -> AbstractContextManager[str]:
        """Makes a fresh folder there that is gone, with all that is in it, afterwards."""

    def put(self, source: Path, target: str) -> None:
        """Copies a file to the host."""

    def get(self, source: str, target: Path) -> bool:
        """Copies a file from the host; returns False where there is no such file."""

    def run(self, arguments: Sequence[str], folder: str, timeout_s: float) -> Ran:
        """Runs a program in a folder there; one that takes longer is killed with its children."""


class LocalHost:
    """This machine."""

    name = "this machine"

    def which(self, program: str) -> str | None:
        """Returns where a program is; None where it is not there or cannot be run."""
        found = shutil.which(program)
        return os.path.abspath(found) if found else None

    @contextmanager
    def folder(self) -> Iterator[str]:
        """Makes a fresh folder that is gone afterwards."""
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


@contextmanager
def open_host(url: str | None) -> Iterator[Host]:
    """Gives the host at an ``ssh://`` URL while the body runs, or this machine without one.

    Raises:
        UsageError: it is no URL of that kind.
        DeviceError: the host cannot be used.
    """
    if url is None:
        yield LocalHost()
        return
    from edgekit.targets.ssh import SSHHost, parse_url

    with SSHHost(parse_url(url)) as host:
        yield host
