"""An Android phone, as a host on which a program runs, over the `adb` of Android's platform-tools.

It is Android 7 or newer: before that, a shell over adb keeps an exit code to itself. Nothing on
the phone is touched but one folder below /data/local/tmp, where adb's user may write and run.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgekit.errors import DeviceError, MissingToolError, UsageError
from edgekit.system.hashing import file_hash
from edgekit.targets.devices import hosts
from edgekit.targets.devices.hosts import Beat, Line, Ran

START_S = 30.0  # for adb's list of phones, and for its server to start
SHORT_S = 60.0  # for a small command of ours
TRANSFER_S = 1800.0  # for a file
NOT_FOUND = 127  # a shell's exit code where there is no such program
SIGNALS = range(129, 193)  # a shell's exit codes where a signal ended the program
PARENT = "/data/local/tmp"
SLOW = "it did not answer in time"
CHECK = "check it with `adb devices -l`"

# A marked line says which process runs, and another how it ended: without that one the phone was
# lost, of which adb's own exit code says nothing. The shell's words on a crash are not the
# program's, and are not heard. What adb starts leads a process group, by which it is stopped.
_START = """\
mark=$1 folder=$2
shift 2
exec 3>&2 2>/dev/null
echo "$mark< $$"
(exec 2>&3 3>&-; cd -- "$folder" && exec "$@")
echo "$mark> $?" >&3
"""
_STOP = 'kill -s KILL -- "-$1" || { pkill -KILL -P "$1"; kill -s KILL "$1"; }'

# A folder of a known name: it may be there from a time when the phone was lost, but as no link.
_FOLDER = 'mkdir -m 700 -- "$1" || { [ -d "$1" ] && [ ! -L "$1" ]; }'

_URL = re.compile(r"adb:(?://(?P<serial>[\w\[][\w.:%@+\[\]-]*)?)?", re.ASCII)
_DEVICE = re.compile(
    r"(?P<serial>\(no serial number\)|\S+)\s+(?P<state>no permissions|\S+)"
    r"(?:.* model:(?P<model>\S+))?"
)
_WORDS = re.compile(r"^(?:adb: )?error: (.+)$", re.MULTILINE)
_STATES = {
    "unauthorized": "accept the question on the phone's screen, and try again",
    "offline": "unplug it and plug it in again, or `adb reconnect offline`",
    "no permissions": "`apt-get install android-sdk-platform-tools-common` has the udev rules",
}


@dataclass(frozen=True)
class Attached:
    """A phone that adb knows.

    Attributes:
        serial: what adb calls it.
        state: ``device`` where it can be used; else ``unauthorized``, ``offline``, ...
        model: what its maker calls it, as far as it says.
    """

    serial: str
    state: str
    model: str | None


def parse_serial(url: str) -> str | None:
    """Reads ``adb://SERIAL``; None for ``adb:``, the only phone attached.

    Raises:
        UsageError: it has another form.
    """
    match = _URL.fullmatch(url)
    if match is None:
        hint = "adb://SERIAL, or adb: for the only one attached"
        raise UsageError(f"'{url}' is no address of a phone", hint=hint)
    return match["serial"]


def attached() -> list[Attached]:
    """Asks adb for the phones that it knows, usable or not; starts its server for that.

    Raises:
        MissingToolError: adb is not installed.
        DeviceError: adb does not answer.
    """
    said = _adb(["devices", "-l"], START_S)
    if said.code != 0:
        raise DeviceError("adb names no phones", cause=said.error or SLOW, hint=CHECK)
    lines = [line for line in said.text.splitlines() if not line.startswith(("List of ", "*"))]
    found = [match for line in lines if (match := _DEVICE.match(line))]
    return [Attached(each["serial"], each["state"], each["model"]) for each in found]


class ADBHost:
    """A phone, while the body of ``with ADBHost(serial) as host`` runs.

    Args:
        serial: what adb calls it; None for the only one attached.
    """

    def __init__(self, serial: str | None = None) -> None:
        self.serial = serial
        self._chosen: list[str] = []  # adb's options for this phone
        self._left = ""  # the folder that stays there when the connection dies

    @property
    def name(self) -> str:
        """The phone's URL."""
        return f"adb://{self.serial or ''}"

    def __enter__(self) -> ADBHost:
        """Finds the phone.

        Raises:
            MissingToolError: adb is not installed.
            DeviceError: the phone is not attached, or cannot be used.
        """
        self.serial = _choose(attached(), self.serial).serial
        self._chosen = ["-s", self.serial]
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves nothing open: every command has a connection of its own."""

    def which(self, program: str) -> str | None:
        """Returns where a program is; None where it is not there or cannot be run."""
        ran = self._shell(["which", program])
        return ran.text.strip() if ran.code == 0 else None

    @contextmanager
    def folder(self, name: str | None = None) -> Iterator[str]:
        """Makes a folder below /data/local/tmp that is gone afterwards."""
        path = f"{PARENT}/edgekit-{name or secrets.token_hex(8)}"
        self._left = path
        ran = self._script(_FOLDER, path)
        if ran.code != 0:
            self._left = ""
            raise DeviceError(f"{self.name} gives no folder to work in", cause=ran.text.strip())
        try:
            yield path
        except BaseException:
            with contextlib.suppress(DeviceError):  # the error that is on its way says more
                self._remove(path)
            raise
        self._remove(path)

    def put(self, source: Path, target: str) -> None:
        """Copies a file to the phone, and checks what has arrived."""
        self._transfer("push", os.path.abspath(source), target)
        self._compare(source, target)

    def get(self, source: str, target: Path) -> bool:
        """Copies a file from the phone, and checks it; returns False where there is none."""
        if self._shell(["test", "-f", source]).code != 0:
            return False
        self._transfer("pull", source, os.path.abspath(target))
        self._compare(target, source)
        return True

    def run(self, arguments: Sequence[str], folder: str, timeout_s: float) -> Ran:
        """Runs a program in a folder there; one that takes longer is killed with its children."""
        mark = secrets.token_hex(8)
        command = f"{_command(mark, folder, arguments)} 2>&1"

        def stop(text: str) -> None:
            self._stop(_Marked(text, mark).pid)

        said = _adb([*self._chosen, "shell", "-T", command], timeout_s, stop)
        marked = _Marked(said.text, mark)
        if marked.code is None and said.code is not None:
            raise self._lost(said.error)
        return Ran(marked.code, marked.text)

    def follow(
        self, arguments: Sequence[str], folder: str, timeout_s: float, line: Line, beat: Beat
    ) -> Ran:
        """Runs a program in a folder there, and hears what it says as it says it."""
        mark = secrets.token_hex(8)
        pid: list[str] = []  # as soon as it is known

        def hear(text: str) -> None:
            if text.startswith(f"{mark}< "):
                pid.append(text.split()[1])
            else:
                line(text)

        command = _command(mark, folder, arguments)
        client = [_tool(), *self._chosen, "shell", "-T", command]
        ran = None
        try:
            ran = hosts.follow(client, None, timeout_s, hear, beat)
        finally:
            if ran is None or ran.code is None:
                self._stop(*pid)
        marked = _Marked(ran.text, mark)
        if marked.code is None and ran.code is not None:
            raise self._lost(ran.text)
        return Ran(marked.code, marked.text)

    def _shell(self, arguments: Sequence[str]) -> Ran:
        ran = self.run(arguments, "/", SHORT_S)
        if ran.code is None:
            raise self._lost(SLOW)
        return ran

    def _script(self, script: str, *arguments: str) -> Ran:
        return self._shell(["sh", "-c", script, "sh", *arguments])

    def _stop(self, pid: str | None = None) -> None:
        """Kills a program that runs there, with its children; None is one that did not start."""
        with contextlib.suppress(DeviceError):  # then there is nothing that we can do
            if pid:
                self._script(_STOP, pid)

    def _remove(self, path: str) -> None:
        ran = self._shell(["rm", "-rf", "--", path])
        if ran.code != 0:
            raise DeviceError(f"cannot remove {path} on {self.name}", cause=ran.text.strip())
        self._left = ""

    def _transfer(self, verb: str, source: str, target: str) -> None:
        """Copies a file by ``adb push`` or ``adb pull``."""
        said = _adb([*self._chosen, verb, source, target], TRANSFER_S)
        words = said.error or said.text.strip()
        if said.code == 0:
            return
        if verb == "push" and "no space left" in words.lower():
            message = f"{self.name} has no space left for {os.path.basename(target)}"
            raise DeviceError(message, cause=words, hint="free some of the phone's storage")
        state = _adb([*self._chosen, "get-state"], START_S).text.strip()
        if said.code is None or state != "device":
            raise self._lost(words or SLOW)
        raise DeviceError(f"a file cannot be copied to or from {self.name}", cause=words)

    def _compare(self, local: Path, remote: str) -> None:
        """Raises DeviceError unless both files hold the same."""
        ran, expected = self._script('exec sha256sum <"$1"', remote), file_hash(local)
        if ran.code == NOT_FOUND:
            ran, expected = self._script('wc -c <"$1"', remote), str(local.stat().st_size)
        if expected not in ran.text.split():
            message = f"{local.name} was damaged on its way to or from {self.name}"
            cause = f"the copy there differs: {ran.text.strip()}"
            raise DeviceError(message, cause=cause, hint="the same command again")

    def _lost(self, words: str) -> DeviceError:
        """The error where adb has lost the phone, with adb's last words, or the program's."""
        said = _adb([*self._chosen, "get-state"], START_S)
        found = _WORDS.findall(said.error) or _WORDS.findall(words) or [words.strip()]
        cause = found[-1] or "adb did not say how the program ended"
        hint = CHECK + (f"; {self._left} may be left there" if self._left else "")
        return DeviceError(f"the connection to {self.name} broke off", cause=cause, hint=hint)


@dataclass(frozen=True)
class _Said:
    """How adb's client ended, None where it was stopped, and what it printed."""

    code: int | None
    text: str
    error: str


class _Marked:
    """What a program printed, without our marks: its number, and its exit code."""

    def __init__(self, text: str, mark: str) -> None:
        began, ended = (re.search(rf"{mark}{kind} (\d+)\n", text) for kind in "<>")
        self.pid = began[1] if began else None
        code = int(ended[1]) if ended else None
        self.code = 128 - code if code and code in SIGNALS else code
        self.text = re.sub(rf"{mark}[<>] \d+\n", "", text)


def _command(mark: str, folder: str, arguments: Sequence[str]) -> str:
    """The one string that a shell there takes apart again."""
    return "exec " + shlex.join(["sh", "-c", _START, "sh", mark, folder, *arguments])


def _tool() -> str:
    """Where adb's client is."""
    if found := shutil.which("adb"):
        return found
    hint = "`apt-get install adb`, or Android's platform-tools on the PATH"
    raise MissingToolError("adb is not installed, by which phones are reached", hint=hint)


def _adb(arguments: Sequence[str], limit_s: float, stop: Callable[[str], object] = str) -> _Said:
    """Runs adb's client; where it is too slow, ``stop`` gets what it said, and it is killed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            [_tool(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for us, who then stop it
        )
        code = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(limit_s)
        finally:
            if process.returncode is None:
                stop(_read(output))
            process.kill()
            process.wait()
        return _Said(code, _read(output), _read(errors).strip())


def _read(source: IO[bytes]) -> str:
    """Reads a file from its beginning, while somebody may write on where they are in it."""
    data = os.pread(source.fileno(), os.fstat(source.fileno()).st_size, 0)
    return data.decode("utf-8", errors="replace")


def _choose(found: Sequence[Attached], serial: str | None) -> Attached:
    """Picks the phone that is meant, if it can be used."""
    names = ", ".join(f"adb://{each.serial} ({each.model or each.state})" for each in found)
    meant = [each for each in found if serial in (None, each.serial)]
    if not meant:
        network = f"`adb connect {serial}`, or " if serial and ":" in serial else ""
        raise DeviceError(
            f"adb://{serial} is not attached" if serial else "no phone is attached",
            cause=f"attached: {names or 'none'}",
            hint=f"{network}plug it in, with USB debugging on; {CHECK}",
        )
    if len(meant) > 1:
        raise DeviceError("several phones are attached", cause=names, hint="adb://SERIAL for one")
    if meant[0].state != "device":
        raise DeviceError(
            f"adb://{meant[0].serial} cannot be used",
            cause=f"adb calls it '{meant[0].state}'",
            hint=_STATES.get(meant[0].state, CHECK),
        )
    return meant[0]
