"""Asks a device what it is, and whether edgekit's agent can run there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace

from edgekit.errors import DeviceError, MissingToolError
from edgekit.targets import registry
from edgekit.targets.devices.hosts import Host, LocalHost
from edgekit.targets.doctor.facts import (
    Facts,
    Python,
    Said,
    choose_python,
    clean,
    make_facts,
    parse_python,
    parse_said,
)
from edgekit.targets.doctor.missing import Missing, missing, runtime_missing
from edgekit.targets.doctor.script import CODE, make_script
from edgekit.targets.toolchains.status import Status, status

__all__ = [
    "Facts",
    "Missing",
    "Python",
    "choose_python",
    "examine",
    "look",
    "missing",
    "runtime_missing",
    "toolchains",
]

SCRIPT_S = 30.0
PYTHON_S = 30.0  # a slow card reads a Python's packages for seconds
CANDIDATES = 24  # Pythons that are tried


def look(host: Host, timeout_s: float = SCRIPT_S) -> Facts:
    """Asks a device what it is, but starts none of its Pythons.

    Raises:
        DeviceError: it does not answer.
    """
    with host.folder() as folder:
        return make_facts(_ask(host, folder, timeout_s))


def examine(host: Host, python: str | None = None) -> Facts:
    """Asks a device what it is and which Pythons it has.

    Args:
        host: the device.
        python: the only Python to try: a path there, from the login folder on, or a name on PATH.

    Raises:
        DeviceError: the device does not answer.
        MissingToolError: ``python`` does not run there.
    """
    with host.folder() as folder:
        said = _ask(host, folder, SCRIPT_S)
        if python is None:
            found = tuple(_pythons(host, folder, said))
        else:
            found = (_asked_for(host, folder, python, (said.get("home") or [""])[0]),)
        return replace(make_facts(said), pythons=found)


def toolchains() -> list[Status]:
    """Looks at all makers' tools, and imports those that are installed."""
    return [status(toolchain, imported=True) for toolchain, _ in registry.toolchains()]


def _ask(host: Host, folder: str, timeout_s: float) -> Said:
    where = "here" if isinstance(host, LocalHost) else "home"
    script = make_script({t.name: t.delegate for t in registry.usable() if t.delegate})
    ran = host.run(["sh", "-c", script, "sh", where], folder, timeout_s)
    said = parse_said(ran.text)
    if not said:
        raise DeviceError(
            f"{host.name} does not say what it is",
            cause=clean(ran.text[:1000]) or "its shell printed nothing",
        )
    return said


def _pythons(host: Host, folder: str, said: Said) -> Iterator[Python]:
    """Tries every candidate. The same one under another name is left out, but no environment is:
    its Python is a link to the system's, and only the prefix tells them apart.
    """
    candidates = [path for path in said.get("python", []) if path.startswith("/")]
    if isinstance(host, LocalHost):
        candidates.insert(0, sys.executable)
    seen: set[tuple[str, str]] = set()
    for path in list(dict.fromkeys(candidates))[:CANDIDATES]:
        found, _ = _try(host, folder, path)
        if found and (found[0], found[1].version) not in seen:
            seen.add((found[0], found[1].version))
            yield found[1]


def _asked_for(host: Host, folder: str, python: str, home: str) -> Python:
    path: str | None = python
    if "/" not in python:
        path = host.which(python)
    elif isinstance(host, LocalHost):
        path = os.path.abspath(os.path.expanduser(python))
    elif not python.startswith("/"):
        path = f"{home}/{python.removeprefix('~/').removeprefix('./')}"
    found, text = _try(host, folder, path) if path else (None, "it is not on the PATH there")
    if found is None:
        raise MissingToolError(
            f"{python} is no Python that runs on {host.name}",
            cause=clean(text[:1000]) or "it printed nothing",
            hint="name another one, or none to look for one",
        )
    return found[1]


def _try(host: Host, folder: str, path: str) -> tuple[tuple[str, Python] | None, str]:
    """Starts a Python: its prefix and what it is, and what it printed."""
    try:
        ran = host.run([path, "-c", CODE], folder, PYTHON_S)
    except OSError as error:  # this machine's, which has no shell to say it
        return None, str(error)
    return parse_python(path, ran.text), ran.text
