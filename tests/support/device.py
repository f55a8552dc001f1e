"""A device for tests: a real ssh server, with only a TFLite runtime and numpy behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from places import ROOT
from ssh_server import SSHD, SSHServer, serve

#: Made by `make test`: what a Raspberry Pi has, tflite-runtime 2.14 and numpy below 2.
VENV = Path(os.environ.get("EDGEKIT_DEVICE_VENV", ROOT / ".venv-device")).absolute()


@cache
def missing() -> str | None:
    """What there is no device for want of, by its name in `prerequisites`; None where one runs."""
    if SSHD is None:
        return "sshd"
    if not (VENV / "bin/python").exists():
        return "device"
    line = [VENV / "bin/python", "-c", "import tflite_runtime, numpy"]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        return "tflite_runtime"
    return None


@contextmanager
def serve_device(folder: Path, **options: Any) -> Iterator[SSHServer]:
    """Runs a server whose user lands in a folder with that environment, and no other Python.

    Args:
        folder: an empty one.
        **options: of `ssh_server.serve`.
    """
    with serve(folder, **options) as server:
        (folder / ".venv").symlink_to(VENV)
        for name in ("python3", *(f"python3.{minor}" for minor in range(9, 15))):
            if shutil.which(name):  # the machine's own is hidden
                hide(server, name)
        yield server


def hide(server: SSHServer, name: str) -> None:
    """Puts a program that fails in front of one of the machine's."""
    tool = server.bin / name
    tool.write_text("#!/bin/sh\nexit 127\n")
    tool.chmod(0o755)


def agents(server: SSHServer) -> list[str]:
    """Command lines of agents that run on a device."""
    ran = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in ran.stdout.splitlines() if f"{server.tmp}/" in line]
