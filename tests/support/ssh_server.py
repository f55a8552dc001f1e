"""A real OpenSSH server on a free port of this machine, with keys of its own, for tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from ports import free_port

SSHD = shutil.which("sshd", path=f"/usr/sbin:{os.environ.get('PATH', '')}")

CONFIG = """\
ListenAddress {address}
{ports}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
SetEnv HOME={folder} PATH={folder}/bin:/usr/local/bin:/usr/bin:/bin TMPDIR={folder}/tmp
"""


@dataclass
class SSHServer:
    """A running server.

    Attributes:
        home: the HOME of its client, with `.ssh/config`, `.ssh/known_hosts` and a key it accepts.
        bin: the folder that comes first on the PATH of what runs there.
        tmp: where `mktemp` makes its folders there.
        pid: of the process that listens.
        address: where it listens.
        more: other ports on which it listens, too.
    """

    pid: int
    address: str
    port: int
    home: Path
    bin: Path
    tmp: Path
    more: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        """With everything in it that a client needs."""
        return self.urls[0]

    @property
    def urls(self) -> list[str]:
        """The same by each port."""
        where = f"ssh://{getuser()}@{self.address}"
        return [f"{where}:{port}" for port in (self.port, *self.more)]

    def install(self, name: str, body: str) -> Path:
        """Puts a Python script on the server's PATH."""
        tool = self.bin / name
        tool.write_text(f"#!{sys.executable}\n{body}")
        tool.chmod(0o755)
        return tool

    def kill_sessions(self) -> None:
        """Kills what serves the connections that there are, and not what listens."""
        ran = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)
        parents = [tuple(map(int, line.split())) for line in ran.stdout.splitlines()[1:]]
        of_server = {pid for pid, parent in parents if parent == self.pid}
        # Where the user is another one, sshd has a second process for a session.
        names = subprocess.run(
            ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
        )
        sshd = {int(n.split()[0]) for n in names.stdout.splitlines()[1:] if n.split()[1] == "sshd:"}
        below = {pid for pid, parent in parents if parent in of_server} & sshd
        for pid in of_server | below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def left(self) -> list[str]:
        """Names what `mktemp` has made there and is still there."""
        return [path.name for path in self.tmp.iterdir()]


@contextmanager
def serve(
    folder: Path, address: str = "127.0.0.1", inside: Sequence[str] = (), ports: int = 1
) -> Iterator[SSHServer]:
    """Runs a server whose keys, configuration and files are all in ``folder``.

    Args:
        folder: an empty one.
        address: where it listens.
        inside: a command that runs another one, in a network of its own.
        ports: on how many it listens.
    """
    home, known = folder / "home", folder / "home/.ssh"
    for path in (known, folder / "bin", folder / "tmp"):
        path.mkdir(parents=True)
    known.chmod(0o700)
    make_key(folder / "host_key")
    make_key(known / "id_ed25519")
    shutil.copy(known / "id_ed25519.pub", folder / "authorized_keys")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd separates its privileges there
    port, *more = dict.fromkeys(free_port() for _ in range(ports))
    lines = "\n".join(f"Port {number}" for number in (port, *more))
    (folder / "config").write_text(CONFIG.format(address=address, ports=lines, folder=folder))
    public = (folder / "host_key.pub").read_text()
    hosts = [f"[{address}]:{number} {public}" for number in (port, *more)]
    (known / "known_hosts").write_text("".join(hosts))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*inside, SSHD, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        _wait_for((address, port), server, folder / "log")
        yield SSHServer(
            server.pid, address, port, home, folder / "bin", folder / "tmp", tuple(more)
        )
    finally:
        server.terminate()
        server.wait(10)


def make_key(path: Path) -> None:
    """Makes a key without a passphrase, and its .pub file."""
    line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)


def _wait_for(where: tuple[str, int], server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(where) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"sshd does not start: {log.read_text()}")
