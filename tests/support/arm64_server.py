"""The OpenSSH server of an arm64 userland on a free port of this machine, for tests.

`make_userland.sh` makes the userland. Its server sees only its own processes, and its keys and its
/tmp are those of the test; the rest of what is written there stays.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prerequisites import NEEDS
from ssh_server import make_key

START_S = 60  # qemu is slow
USER = "pi"

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey /mnt/host_key
PidFile none
AuthorizedKeysFile /mnt/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
SetEnv QEMU_CPU={cpu}
"""

#: Of a Raspberry Pi 5. With all that qemu 7.2 emulates, SVE among it, XNNPACK of LiteRT 2.1.6 and
#: 2.3.0 gives wrong answers there (the built-in kernels right ones, and both without SVE).
CPU = "cortex-a76"

# All of it is mounted for this one process and ends with it; /mnt and /tmp are the test's. LiteRT
# from 2.2 on reads of the processor's caches in /sys, and crashes on what an x86 one says there.
START = """\
set -e
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
for caches in "$1"/sys/devices/system/cpu/cpu[0-9]*/cache; do
    [ ! -d "$caches" ] || mount -t tmpfs -o ro tmpfs "$caches"
done
mount --rbind /dev "$1/dev"
mount --bind "$2/etc" "$1/mnt"
mount --bind "$2/tmp" "$1/tmp"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" /usr/sbin/sshd -D -e -f /mnt/config
"""


@dataclass
class ARM64Server:
    """A running server.

    Attributes:
        root: the userland, as a folder of this machine.
        home: the HOME of its client, with `.ssh/config`, `.ssh/known_hosts` and a key it accepts.
        tmp: its /tmp, as a folder of this machine.
    """

    port: int
    root: Path
    home: Path
    tmp: Path

    @property
    def url(self) -> str:
        """With everything in it that a client needs."""
        return f"ssh://{USER}@127.0.0.1:{self.port}"

    def left(self) -> list[str]:
        """Names what edgekit has made in its /tmp and is still there."""
        return [path.name for path in self.tmp.glob("edgekit-*")]


def missing(root: Path) -> str | None:
    """Says why no server can run here; None where one can."""
    if not (root / "usr/sbin/sshd").exists():
        return NEEDS["arm64"].reason
    if os.getuid() != 0:
        return "needs root, for chroot and mounts"
    probe = ["chroot", str(root), "/usr/bin/true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        return "this machine does not run arm64 programs (make test-arm64)"
    return None


@contextmanager
def serve(root: Path, folder: Path) -> Iterator[ARM64Server]:
    """Runs the server of the userland ``root``, with its keys and its /tmp in ``folder``."""
    home, etc, tmp = folder / "home", folder / "etc", folder / "tmp"
    known = home / ".ssh"
    for path in (known, etc, tmp):
        path.mkdir(parents=True)
    known.chmod(0o700)
    etc.chmod(0o755)
    tmp.chmod(0o1777)
    make_key(etc / "host_key")
    make_key(known / "id_ed25519")
    shutil.copy(known / "id_ed25519.pub", etc / "authorized_keys")
    (etc / "authorized_keys").chmod(0o644)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (etc / "config").write_text(CONFIG.format(port=port, cpu=CPU))
    (known / "config").write_text("")
    public = (etc / "host_key.pub").read_text()
    (known / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    line = [*apart, "sh", "-c", START, "sh", str(root.resolve()), str(folder.resolve())]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=log)
    try:
        _wait_for(port, server, folder / "log")
        yield ARM64Server(port, root, home, tmp)
    finally:
        server.kill()  # and with it sshd, the first process there, and so all that runs there
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the server says who it is: qemu lets it accept much earlier than answer."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=START_S) as probe:
                if probe.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"sshd of {server.args!r} does not start: {log.read_text()}")
