"""Finds the devices that answer: this machine, attached phones, and hosts of ``~/.ssh/config``."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import DeviceError, EdgekitError, MissingToolError
from edgekit.system.paths import StrPath
from edgekit.targets.devices.open import open_host
from edgekit.targets.doctor.examine import look
from edgekit.targets.doctor.facts import Facts, clean

ANSWERS = "ok"
LOOK_S = 10.0  # for the questions to a device that has answered
DEPTH = 8  # of files that include one another
GRACE_S = 5.0  # for what a device needs besides, such as its temporary folder

# Why there is no connection, by the exception behind the DeviceError.
WORDS = {
    "HostKeyNotVerifiable": "its key is not trusted",
    "PermissionDenied": "it does not let us in",
    "ConnectionRefusedError": "refused",
    "gaierror": "unknown name",
    "TimeoutError": "timeout",
}


@dataclass(frozen=True)
class Found:
    """A device.

    Attributes:
        url: what ``--device`` is given.
        state: ``ok``, ``no answer``, or what adb says of a phone.
        detail: what it is, or why it does not answer.
    """

    url: str
    state: str
    detail: str


class _Probe:
    """Asks one device in a thread, which is left alone when it takes too long."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._found: Found | None = None
        self._connected = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def result(self, deadline: float) -> Found:
        """Waits for the answer: until then for a connection, and then for what it says."""
        self._thread.join(max(deadline - time.monotonic(), 0))
        if self._connected.is_set():
            self._thread.join(LOOK_S + GRACE_S)
        self._given_up.set()
        return self._found or Found(self.url, "no answer", "timeout")

    def _ask(self) -> None:
        try:
            with open_host(self.url) as host:
                self._connected.set()
                if not self._given_up.is_set():  # else a folder would be made and left there
                    self._found = Found(self.url, ANSWERS, describe(look(host, LOOK_S)))
        except EdgekitError as error:
            self._found = Found(self.url, "no answer", _reason(error))
        except Exception as error:
            self._found = Found(self.url, "no answer", clean(f"{type(error).__name__}: {error}"))


def find(urls: Sequence[str], timeout_s: float) -> list[Found]:
    """Lists this machine, phones, the hosts of ``~/.ssh/config`` and the given ones.

    Args:
        urls: devices to ask besides.
        timeout_s: how long each may take to answer; all are asked at the same time.
    """
    hosts = [f"ssh://{name}" for name in configured(Path.home() / ".ssh/config")]
    deadline = time.monotonic() + timeout_s
    probes = [_Probe(url) for url in dict.fromkeys(["local:", *hosts, *urls])]
    known = phones()
    asked = [probe.result(deadline) for probe in probes]
    return [asked[0], *(phone for phone in known if phone.url not in urls), *asked[1:]]


def phones() -> list[Found]:
    """Lists what adb is connected to; nothing where adb is not installed."""
    from edgekit.targets.devices.adb import attached

    try:
        return [
            Found(
                f"adb://{clean(phone.serial)}",
                ANSWERS if phone.state == "device" else clean(phone.state),
                clean(phone.model or ""),
            )
            for phone in attached()
        ]
    except MissingToolError:
        return []
    except DeviceError as error:
        return [Found("adb:", "no answer", clean(error.cause or error.message))]


def describe(facts: Facts) -> str:
    """Says in a line what a device is."""
    what = [facts.board, facts.system, facts.cpu, facts.machine]
    return ", ".join(filter(None, what)) or "it does not say what it is"


def configured(path: StrPath) -> list[str]:
    """Lists the hosts that an OpenSSH configuration names, without patterns."""
    path = Path(path)
    return list(dict.fromkeys(_names(path, path.parent, DEPTH)))


def _names(path: Path, folder: Path, depth: int) -> Iterator[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if depth else []
    except OSError:
        return
    for line in lines:
        keyword, *words = _words(line) or [""]
        if keyword.lower() == "host":
            yield from (word for word in words if not set(word) & set("*?!"))
        elif keyword.lower() == "include":
            for pattern in words:
                for file in _included(folder, pattern):
                    yield from _names(file, folder, depth - 1)


def _words(line: str) -> list[str]:
    """Splits ``Host a "b"`` and ``Host=a``."""
    keyword, equals, rest = line.strip().partition("=")
    if equals and keyword.strip().isalpha():
        line = f"{keyword} {rest}"
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that is not closed
        return []


def _included(folder: Path, pattern: str) -> list[Path]:
    import glob
    import os

    whole = os.path.join(folder, os.path.expanduser(pattern))
    return [Path(name) for name in sorted(glob.glob(whole))]


def _reason(error: EdgekitError) -> str:
    word = WORDS.get(type(error.__cause__).__name__)
    return word or clean(error.cause or error.message)
