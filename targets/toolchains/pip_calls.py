"""Calls of pip: with the user's configuration where it fetches, with none where it installs."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgekit.errors import EdgekitError, MissingToolError
from edgekit.system import processes
from edgekit.targets.toolchains.toolchain import packages_in

#: Of pip: runs it in another Python, since 22.3.
RUNNER = "__pip-runner__.py"
CHILD = Path(__file__).with_name("pip_child.py")
POLL_S = 0.1
#: Nothing but the files whose hashes are known, and no code of theirs is run.
HASHED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
#: What pip and its libraries print where the index does not answer.
UNREACHED = re.compile(
    r"NewConnectionError|Max retries exceeded|ConnectTimeout|ReadTimeout|NameResolutionError|"
    r"ProxyError|Network is unreachable|Connection(?: refused|ResetError| aborted)|"
    r"IncompleteRead|ProtocolError|RemoteDisconnected"
)
NO_FILE = re.compile(r"No matching distribution found|Could not find a version")
WRONG_HASH = re.compile(r"DO NOT MATCH THE HASHES|HashMismatch")
FULL = re.compile(r"No space left on device|Disk quota exceeded")
STAMP = re.compile(r"^[\d-]+T[\d:,]+\s+")
#: What a library says of a connection, at the end of all that it went through.
CAUSED = re.compile(r"(https?://[^/\s]+).*Caused by .*?(?:>: |\(\"?|: )([^'()\"]+)")
GOT = re.compile(r"Got\s+([0-9a-f]{64})")


class StoppedError(Exception):
    """A call was ended because another one failed, or because the user ended it."""


@dataclass(frozen=True)
class PipFailure:
    """What pip printed before it failed.

    Attributes:
        text: for people.
        details: its log, which also says what it went past, such as an index that does not answer.
    """

    text: str
    details: str

    @property
    def last_error(self) -> str:
        """What pip itself says of it."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        return (errors or lines or ["it printed nothing"])[-1].removeprefix("ERROR: ")[:500]

    def error(self, what: str, kept: str) -> EdgekitError:
        """Says it for a person.

        Args:
            what: the package, with its version.
            kept: what has arrived already.
        """
        again = f"{kept}; the same command goes on from there"
        if FULL.search(self.text):
            return EdgekitError(
                "the disk is full",
                cause=self.last_error,
                hint=f"free some space, or another folder in EDGEKIT_TOOLCHAINS: {again}",
            )
        if WRONG_HASH.search(self.text):
            found = GOT.search(self.text)
            return wrong_hash(what, found[1] if found else "another one")
        lines = [line for line in self.details.splitlines() if UNREACHED.search(line)]
        if lines:
            return EdgekitError(
                f"cannot fetch {what}: the package index does not answer",
                cause=_why(lines[-1]),
                hint=f"look at the network, or at the index in `pip config list`. {again}",
            )
        if NO_FILE.search(self.text):
            python = ".".join(platform.python_version_tuple()[:2])
            return EdgekitError(
                f"the package index has no {what} for this machine",
                cause=f"there is no wheel for Python {python} on {platform.system()} "
                f"{platform.machine()} with one of the expected hashes",
                hint="another Python for edgekit, or another index in `pip config list`",
            )
        return EdgekitError(f"pip cannot fetch {what}", cause=self.last_error, hint=again)


def _why(line: str) -> str:
    """What a line of pip's log says of a connection that failed."""
    text = STAMP.sub("", line).strip()
    found = CAUSED.search(text)
    return f"{found[1]}: {found[2].strip()}" if found else text[:300]


def wrong_hash(what: str, found: str) -> EdgekitError:
    """The error for a file that is not the one that was tried with edgekit."""
    return EdgekitError(
        f"what arrived as {what} is another file than expected, and was not installed",
        cause=f"its SHA-256 is {found}, which is not in the toolchain's requirements",
        hint="`pip config list` shows which index it comes from",
    )


def pip_of(python: Path, spare: Path) -> list[str]:
    """Returns the command that runs pip for a Python: edgekit's own pip, or a spare one.

    Args:
        python: that it installs for.
        spare: an environment that is made for its pip alone where edgekit's has none.

    Raises:
        MissingToolError: there is none, or an old one, and none can be made.
    """
    spec = find_spec("pip")
    found = [Path(spec.origin).with_name(RUNNER)] if spec and spec.origin else []
    found.append(packages_in(spare) / "pip" / RUNNER)
    if not any(path.exists() for path in found):
        make_environment(spare, with_pip=True)
    runner = next((path for path in found if path.exists()), None)
    if runner is None:
        raise MissingToolError(
            "there is no pip", cause="22.3 or newer is needed", hint="python -m ensurepip"
        )
    return [str(python), "-I", str(CHILD), str(os.getpid()), str(runner)]


def make_environment(folder: Path, *, with_pip: bool = False) -> None:
    """Makes an environment of edgekit's Python.

    Raises:
        EdgekitError: Python cannot make one.
    """
    options = [] if with_pip else ["--without-pip"]
    made = subprocess.run(  # noqa: S603 - a list, no shell
        [sys.executable, "-I", "-m", "venv", *options, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise EdgekitError(
            f"cannot make an environment in {folder}",
            cause=(made.stderr or made.stdout).strip()[-300:] or None,
            hint="apt-get install python3-venv, where that is missing",
        )


def without_configuration() -> dict[str, str]:
    """An environment in which pip reads none of the user's settings."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def run_pip(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> PipFailure | None:
    """Runs pip; returns what it printed where it failed.

    Args:
        command: of `pip_of`, with pip's arguments.
        log: a file for what it prints.
        environment: of the process; edgekit's own unless given.
        stop: ends it when it is set.

    Raises:
        StoppedError: it was ended so.
    """
    details = log.with_name(log.name + ".details")
    flags = ["--disable-pip-version-check", "--no-input", "--no-color", "--log", str(details)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            [*command, *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                if stop is not None and stop.is_set():
                    raise StoppedError
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
        finally:
            processes.stop(process)
    if process.returncode == 0:
        return None
    texts = (path.read_text("utf-8", errors="replace") for path in (log, details) if path.exists())
    return PipFailure(next(texts), next(texts, ""))
