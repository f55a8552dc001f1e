"""Another machine over SSH, as a host on which a program runs.

It is as with OpenSSH: ``~/.ssh/config`` holds (aliases, ProxyJump, IdentityFile, Port,
User), and so does ``known_hosts``. A host whose key is not in there is refused, whatever
StrictHostKeyChecking says, and nothing ever asks for a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgekit.errors import DeviceError
from edgekit.system.hashing import file_hash
from edgekit.targets.devices.address import Address, parse_url
from edgekit.targets.devices.hosts import BEAT_S, SAID, Beat, Line, Ran

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection, SSHClientProcess, SSHCompletedProcess

CONNECT_S = 20.0  # for a connection, through all its jump hosts
SHORT_S = 60.0  # for a small command of ours
TRANSFER_S = 1800.0  # for a file; a connection that dies is noticed much earlier
KEEPALIVE_S = 10  # a host that is silent three times is gone
# Of more than ten connections that have not logged in yet, sshd drops some (MaxStartups 10:30:100):
# where many devices are behind one jump host, for example.
_CONNECTING = threading.BoundedSemaphore(8)
NOT_FOUND = 127  # a shell's exit code where there is no such program
PID = ".edgekit-pid"

# A program is stopped by its process group: servers need not pass a signal on, and OpenSSH's does
# not where root logs in. By exec the shell's number is the program's, and its group's.
_START = f'cd -- "$1" && shift && echo $$ >{PID} && exec "$@"'
_STOP = f'pid=$(cat -- "$1/{PID}") && kill -s KILL -- "-$pid" "$pid"'

# A folder of a known name in a place where all may write: it must be ours, and no link.
_FOLDER = """\
path=${TMPDIR:-/tmp}/edgekit-$(id -u)-$1
mkdir -m 700 -- "$path" 2>/dev/null || { [ -O "$path" ] && [ -d "$path" ] && [ ! -L "$path" ]; } ||
    { echo "$path cannot be made, or belongs to somebody else"; exit 1; }
echo "$path"
"""

T = TypeVar("T")


class SSHHost:
    """Another machine, while the body of ``with SSHHost(address) as host`` runs.

    Everything that goes wrong with the connection is a DeviceError.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connections: list[SSHClientConnection] = []  # jump hosts, and then the host
        self._left = ""  # the folder that stays there when the connection dies

    @property
    def name(self) -> str:
        """The host's URL."""
        return str(self.address)

    def __enter__(self) -> SSHHost:
        """Connects.

        Raises:
            DeviceError: the host is not reached, is not known, or does not know us.
        """
        self._loop = asyncio.new_event_loop()
        try:
            with _CONNECTING:
                self._wait(self._reach(), None)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def which(self, program: str) -> str | None:
        """Returns where a program is; None where it is not there or cannot be run."""
        ran = self._shell(["command", "-v", program])
        if ran.code != 0 or not ran.text.strip():
            return None
        found = _last_line(ran)
        is_relative = "/" in found and not found.startswith("/")
        return f"{_last_line(self._shell(['pwd']))}/{found}" if is_relative else found

    @contextmanager
    def folder(self, name: str | None = None) -> Iterator[str]:
        """Makes a folder there that is gone afterwards."""
        make = ["mktemp", "-d"] if name is None else ["sh", "-c", _FOLDER, "sh", name]
        ran = self._shell(make)
        path = _last_line(ran)
        if ran.code != 0 or not path.startswith("/"):
            raise DeviceError(f"{self.name} gives no folder to work in", cause=ran.text.strip())
        self._left = path
        try:
            yield path
        except BaseException:
            with contextlib.suppress(DeviceError):  # the error that is on its way says more
                self._remove(path)
            raise
        self._remove(path)

    def put(self, source: Path, target: str) -> None:
        """Copies a file to the host, and checks what has arrived."""
        self._wait(self._send(source, target), TRANSFER_S)
        self._compare(source, target)

    def get(self, source: str, target: Path) -> bool:
        """Copies a file from the host, and checks it; returns False where there is none."""
        if not self._wait(self._fetch(source, target), TRANSFER_S):
            return False
        self._compare(target, source)
        return True

    def run(self, arguments: Sequence[str], folder: str, timeout_s: float) -> Ran:
        """Runs a program in a folder there; one that takes longer is killed."""
        line = shlex.join(["sh", "-c", _START, "sh", folder, *arguments])
        stop = shlex.join(["sh", "-c", _STOP, "sh", folder])
        return self._wait(self._run(f"exec {line}", timeout_s, stop), timeout_s + SHORT_S)

    def follow(
        self, arguments: Sequence[str], folder: str, timeout_s: float, line: Line, beat: Beat
    ) -> Ran:
        """Runs a program in a folder there, and hears what it says as it says it."""
        command = shlex.join(["sh", "-c", _START, "sh", folder, *arguments])
        stop = shlex.join(["sh", "-c", _STOP, "sh", folder])
        return self._wait(self._follow(f"exec {command}", timeout_s, stop, line, beat), None)

    def _shell(self, arguments: Sequence[str]) -> Ran:
        return self._wait(self._run(shlex.join(arguments), SHORT_S), 2 * SHORT_S)

    def _remove(self, path: str) -> None:
        ran = self._shell(["rm", "-rf", "--", path])
        if ran.code != 0:
            raise DeviceError(f"cannot remove {path} on {self.name}", cause=ran.text.strip())
        self._left = ""

    def _compare(self, local: Path, remote: str) -> None:
        """Raises DeviceError unless both files hold the same."""
        ran = self._shell(["sha256sum", remote])
        if ran.code == NOT_FOUND:
            same = self._wait(self._size(remote)) == local.stat().st_size
        else:  # a backslash before the digits says that the name behind them is escaped
            same = _last_line(ran).lstrip("\\").split(" ")[0] == file_hash(local)
        if not same:
            raise DeviceError(
                f"{local.name} was damaged on its way to or from {self.name}",
                cause=f"the copy there differs: {ran.text.strip()}",
                hint="the same command again",
            )

    async def _reach(self) -> None:
        """Connects to the host, in time."""
        try:
            await asyncio.wait_for(self._connect(self.address, ()), CONNECT_S)
        except asyncio.TimeoutError as error:
            raise _unreached(self.address, error) from error

    async def _connect(self, address: Address, behind: tuple[str, ...]) -> None:
        """Connects to a host by way of its jump hosts; ``behind`` are the hosts behind it."""
        import asyncssh

        try:
            options = asyncssh.SSHClientConnectionOptions(
                config=(),  # ~/.ssh/config; without this, none
                host=address.host,
                port=address.port or (),
                username=address.user or (),
                password_auth=False,
                kbdint_auth=False,
                keepalive_interval=KEEPALIVE_S,
            )
            if options.known_hosts is None:  # the library's reading of UserKnownHostsFile none
                raise asyncssh.HostKeyNotVerifiable("~/.ssh/config names no known_hosts file")
            if not self._connections and isinstance(options.tunnel, str):
                for hop in options.tunnel.split(","):
                    through = parse_url(hop if "://" in hop else f"ssh://{hop.strip()}")
                    if through.host not in (*behind, address.host):
                        await self._connect(through, (*behind, address.host))
            tunnel = self._connections[-1] if self._connections else None
            connection = await asyncssh.connect(
                address.host,
                address.port or (),
                options=options,
                tunnel=tunnel,
                known_hosts=options.known_hosts,  # fixed, whatever a "Match final" may say
            )
        except (asyncssh.Error, OSError, ValueError) as error:
            raise _unreached(address, error) from error
        self._connections.append(connection)

    async def _run(self, line: str, timeout_s: float, stop: str | None = None) -> Ran:
        import asyncssh

        process = await self._connections[-1].create_process(
            line, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, errors="replace"
        )
        try:
            done = await process.wait(timeout=timeout_s)
        except asyncssh.TimeoutError as error:
            return Ran(None, str(error.stdout))
        finally:
            await self._stop(process, stop)
        return Ran(_code(done), str(done.stdout))

    async def _stop(self, process: SSHClientProcess[str], stop: str | None) -> None:
        """Ends a program that has not ended: it was too slow, or we were interrupted."""
        import asyncssh

        if stop and process.returncode is None:
            with contextlib.suppress(asyncssh.Error, OSError):
                await self._connections[-1].run(stop, timeout=SHORT_S)
        process.close()

    async def _follow(
        self, command: str, timeout_s: float, stop: str, line: Line, beat: Beat
    ) -> Ran:
        process = await self._connections[-1].create_process(command, errors="replace")
        reading, said = asyncio.ensure_future(process.stdout.readline()), ""
        saying = asyncio.ensure_future(process.stderr.read(SAID))
        now = self._loop.time
        heard = beaten = now()
        try:
            while now() - heard < timeout_s:
                if now() - beaten >= BEAT_S:
                    beaten = now()
                    try:
                        process.stdin.write("\n")
                    except BrokenPipeError:
                        # A program that has ended may still have lines to be read.
                        if self._connections[-1].is_closed():
                            raise
                    beat()
                await asyncio.wait({reading, saying}, timeout=BEAT_S, return_when="FIRST_COMPLETED")
                if saying.done() and (more := saying.result()):
                    said = (said + more)[-SAID:]
                    saying = asyncio.ensure_future(process.stderr.read(SAID))
                if reading.done():
                    if not (text := reading.result()):
                        break
                    heard = now()
                    line(text.rstrip("\r\n"))
                    reading = asyncio.ensure_future(process.stdout.readline())
            else:
                return Ran(None, said)
            done = await process.wait(timeout=timeout_s)
            return Ran(_code(done), said)
        finally:
            for task in (reading, saying):
                task.cancel()
            await self._stop(process, stop)

    async def _send(self, source: Path, target: str) -> None:
        async with self._connections[-1].start_sftp_client() as sftp:
            await sftp.put(str(source), target)

    async def _fetch(self, source: str, target: Path) -> bool:
        async with self._connections[-1].start_sftp_client() as sftp:
            if not await sftp.isfile(source):
                return False
            await sftp.get(source, str(target))
            return True

    async def _size(self, path: str) -> int | None:
        async with self._connections[-1].start_sftp_client() as sftp:
            return (await sftp.stat(path)).size

    def _wait(self, work: Coroutine[Any, Any, T], limit_s: float | None = SHORT_S) -> T:
        """Waits for what is done over the connection; when that dies, raises DeviceError."""
        import asyncssh

        task = self._loop.create_task(asyncio.wait_for(work, limit_s))
        try:
            return self._loop.run_until_complete(task)
        except (asyncssh.Error, ConnectionError, asyncio.TimeoutError) as error:
            left = f"; {self._left} may be left there" if self._left else ""
            is_file = isinstance(error, asyncssh.SFTPError)  # no space, no permission, ...
            raise DeviceError(
                f"a file cannot be copied to or from {self.name}"
                if is_file
                else f"the connection to {self.name} broke off",
                cause=_words(error),
                hint=f"check it with `{self.address.command}`{left}",
            ) from error
        except KeyboardInterrupt:  # has left the task where it was, unless it came from the task
            if task.cancel():
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    self._loop.run_until_complete(task)
            raise

    def _close(self) -> None:
        async def close() -> None:
            for connection in reversed(self._connections):
                connection.close()
                await connection.wait_closed()

        with contextlib.suppress(Exception):  # it may be dead already
            self._loop.run_until_complete(asyncio.wait_for(close(), 5))
        self._connections.clear()
        self._loop.close()


def _code(done: SSHCompletedProcess) -> int:
    """The exit code of a program that has ended; minus the number of the signal that ended it."""
    import asyncssh

    if done.returncode is None:
        raise asyncssh.ConnectionLost("the connection ended before the program did")
    return done.returncode


def _last_line(ran: Ran) -> str:
    """The answer of a command, behind what the host's start-up files may print."""
    return (ran.text.strip().splitlines() or [""])[-1].strip()


def _words(error: BaseException) -> str:
    return str(error) or {"TimeoutError": "it did not answer in time"}.get(
        type(error).__name__, type(error).__name__
    )


def _unreached(address: Address, error: Exception) -> DeviceError:
    """Says why there is no connection, and what to do about it."""
    import asyncssh

    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return DeviceError(
            f"{address} is not trusted: its key is not the one in known_hosts, or not in there",
            cause=_words(error),
            hint=f"`{address.command}` once by hand, and compare the fingerprint that it shows "
            "with the host's own before accepting it",
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return DeviceError(
            f"{address} does not let us in",
            cause=f"none of our keys is accepted there ({_words(error)})",
            hint=f"`ssh-copy-id`, or name the key in ~/.ssh/config; then check `{address.command}`",
        )
    return DeviceError(
        f"{address} cannot be reached",
        cause=_words(error),
        hint=f"check it with `{address.command}`",
    )
