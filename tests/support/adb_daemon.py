"""A TEST FIXTURE: a stand-in for a phone's adb daemon, which the real `adb` client talks to.

It speaks the transport protocol over TCP, with the services ``shell,v2`` and ``sync`` only.
Commands run with this machine's /bin/sh; what is below /data/local/tmp there is in a folder here.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ports import free_port

ADB = shutil.which("adb")

VERSION, MAX_DATA = 0x01000001, 256 * 1024  # from this version on, checksums are not looked at
BANNER = (
    b"device::ro.product.name=stand_in;ro.product.model=Stand_In;ro.product.device=stand_in;"
    b"features=shell_v2,cmd,stat_v2"
)
HEADER = struct.Struct("<4s5I")  # command, two arguments, length, checksum, command inverted
PACKET = struct.Struct("<BI")  # of a shell: what it is, length
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
SYNC = struct.Struct("<4sI")  # of files: what it is, length
STAT_1 = struct.Struct("<4s3I")
STAT_2 = struct.Struct("<4sI2Q4IQ3q")
BLOCK = 64 * 1024  # of a file
TMP = "/data/local/tmp"


@dataclass
class Phone:
    """The stand-in, attached to an adb server of its own.

    Attributes:
        root: the folder that holds all its files.
        bin: the folder that comes first on the PATH of what runs there.
        tmp: what is /data/local/tmp there.
        room: how many bytes of files fit, where that is limited.
    """

    root: Path
    bin: Path
    tmp: Path
    port: int = 0
    room: int | None = None
    _sockets: list[socket.socket] = field(default_factory=list)

    @property
    def serial(self) -> str:
        """What adb calls it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """What edgekit calls it."""
        return f"adb://{self.serial}"

    def install(self, name: str, body: str) -> Path:
        """Puts a Python script on its PATH."""
        tool = self.bin / name
        tool.write_text(f"#!{sys.executable}\n{body}")
        tool.chmod(0o755)
        return tool

    def left(self) -> list[str]:
        """Names what is in /data/local/tmp there."""
        return [path.name for path in self.tmp.iterdir()]

    def fill(self, room: int = 0) -> None:
        """Leaves room for so many bytes."""
        self.room = room

    def connect(self) -> None:
        """Attaches it; where it was attached before, under the same serial."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._sockets = [listening]
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        adb("disconnect")
        said = adb("connect", self.serial)
        if adb("-s", self.serial, "get-state").strip() != "device":
            raise RuntimeError(f"the stand-in is not attached: {said}")

    def disconnect(self) -> None:
        """Is gone from one moment to the next, as when the cable is pulled."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def path(self, name: bytes) -> Path:
        """Where a file of the phone is on this machine."""
        return Path(os.fsdecode(name).replace(TMP, str(self.tmp), 1))

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                transport = listening.accept()[0]
                transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(transport)
                threading.Thread(target=Transport(self, transport).serve, daemon=True).start()


class Transport:
    """A connection from an adb server, with many streams over it."""

    def __init__(self, phone: Phone, connection: socket.socket) -> None:
        self.phone = phone
        self.connection = connection
        self.streams: dict[int, Stream] = {}
        self._sending = threading.Lock()

    def serve(self) -> None:
        """Answers until the connection is closed."""
        try:
            while True:
                command, one, two, length, _, _ = HEADER.unpack(self._receive(HEADER.size))
                self._answer(command, one, two, self._receive(length))
        except OSError:
            pass
        finally:
            for stream in list(self.streams.values()):
                stream.end()

    def send(self, command: bytes, one: int, two: int, data: bytes = b"") -> None:
        """Sends a message; that nobody hears it any more is noticed by `serve`."""
        inverted = int.from_bytes(command, "little") ^ 0xFFFFFFFF
        with self._sending, contextlib.suppress(OSError):
            header = HEADER.pack(command, one, two, len(data), 0, inverted)
            self.connection.sendall(header + data)

    def _answer(self, command: bytes, one: int, two: int, data: bytes) -> None:
        if command == b"CNXN":
            self.send(b"CNXN", VERSION, MAX_DATA, BANNER)
        elif command == b"OPEN":
            self._open(one, data.rstrip(b"\0"))
        elif stream := self.streams.get(two):
            if command == b"WRTE":
                stream.arrived.put(data)
                self.send(b"OKAY", two, one)
            elif command == b"OKAY":
                stream.taken.release()
            elif command == b"CLSE":
                stream.end()

    def _open(self, theirs: int, service: bytes) -> None:
        kind, _, rest = service.partition(b":")
        if kind == b"sync":
            work, rest = sync, b""
        elif kind.startswith(b"shell,v2"):
            work = shell
        else:
            self.send(b"CLSE", 0, theirs)
            return
        ours = max(self.streams, default=0) + 1
        stream = self.streams[ours] = Stream(self, ours, theirs)
        self.send(b"OKAY", ours, theirs)

        def run() -> None:
            with contextlib.suppress(EOFError):
                work(self.phone, stream, rest)
            del self.streams[ours]
            stream.end()
            self.send(b"CLSE", ours, theirs)

        threading.Thread(target=run, daemon=True).start()

    def _receive(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            more = self.connection.recv(length - len(data))
            if not more:
                raise OSError("the connection is closed")
            data += more
        return bytes(data)


class Stream:
    """One service at work; reading raises EOFError where the client has gone."""

    def __init__(self, transport: Transport, ours: int, theirs: int) -> None:
        self.arrived: queue.Queue[bytes] = queue.Queue()
        self.taken = threading.Semaphore(0)
        self._transport, self._ours, self._theirs = transport, ours, theirs
        self._rest = b""
        self._gone = False

    def read(self, length: int) -> bytes:
        """Waits for so many bytes."""
        while len(self._rest) < length:
            if self._gone and self.arrived.empty():
                raise EOFError
            self._rest += self.arrived.get()
        data, self._rest = self._rest[:length], self._rest[length:]
        return data

    def write(self, data: bytes) -> None:
        """Sends at most `MAX_DATA` bytes, and waits until they are taken."""
        if not self._gone:
            self._transport.send(b"WRTE", self._ours, self._theirs, data)
            self.taken.acquire()

    def end(self) -> None:
        """Wakes whoever waits for this stream: its client has gone."""
        self._gone = True
        self.arrived.put(b"")
        self.taken.release()


def shell(phone: Phone, stream: Stream, command: bytes) -> None:
    """Runs a command; when its client goes, its input ends and its shell gets SIGHUP."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command.replace(TMP.encode(), os.fsencode(phone.tmp))],
        cwd=phone.root,
        env={"HOME": str(phone.root), "PATH": f"{phone.bin}:/usr/local/bin:/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    sending = threading.Lock()

    def pump(kind: int, pipe: int) -> None:
        while data := os.read(pipe, BLOCK):
            with sending:
                stream.write(PACKET.pack(kind, len(data)) + data)

    pumps = [
        threading.Thread(target=pump, args=(STDOUT, process.stdout.fileno()), daemon=True),
        threading.Thread(target=pump, args=(STDERR, process.stderr.fileno()), daemon=True),
        threading.Thread(target=feed, args=(process, stream), daemon=True),
    ]
    for thread in pumps:
        thread.start()
    for thread in pumps[:2]:
        thread.join()
    code = process.wait()
    stream.write(PACKET.pack(EXIT, 1) + bytes([code if code >= 0 else 128 - code]))


def feed(process: subprocess.Popen[bytes], stream: Stream) -> None:
    """Hands on what a client types."""
    try:
        while True:
            kind, length = PACKET.unpack(stream.read(PACKET.size))
            data = stream.read(length)
            with contextlib.suppress(OSError, ValueError):
                if kind == STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
                elif kind == CLOSE_STDIN:
                    process.stdin.close()
    except EOFError:
        with contextlib.suppress(OSError):
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGHUP)


def sync(phone: Phone, stream: Stream, _: bytes) -> None:
    """Reads and writes files until the client has enough."""
    while True:
        what, length = SYNC.unpack(stream.read(SYNC.size))
        if what == b"QUIT":
            return
        name = stream.read(length)
        if what in (b"STAT", b"STA2", b"LST2"):
            stream.write(look(what, phone.path(name)))
            continue
        try:
            if what == b"SEND":
                take(phone, stream, name)
            else:
                give(phone, stream, name)
        except OSError as error:
            words = error.strerror.encode()
            stream.write(SYNC.pack(b"FAIL", len(words)) + words)


def look(what: bytes, path: Path) -> bytes:
    """Says what a file is."""
    try:
        found, code = (path.stat() if what == b"STA2" else path.lstat()), 0
    except OSError as error:
        found, code = os.stat_result([0] * 10), error.errno
    if what == b"STAT":
        return STAT_1.pack(what, found.st_mode, found.st_size, int(found.st_mtime))
    owner = (found.st_nlink, found.st_uid, found.st_gid, found.st_size)
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    return STAT_2.pack(what, code, found.st_dev, found.st_ino, found.st_mode, *owner, *times)


def take(phone: Phone, stream: Stream, name: bytes) -> None:
    """Writes a file that is sent; what does not fit is read nevertheless, as adbd does."""
    path, _, mode = name.rpartition(b",")
    data = bytearray()
    while True:
        what, length = SYNC.unpack(stream.read(SYNC.size))
        if what == b"DONE":
            break
        data += stream.read(length)
    if phone.room is not None and len(data) > phone.room:
        raise OSError(28, "No space left on device")
    phone.path(path).write_bytes(data)
    phone.path(path).chmod(stat.S_IMODE(int(mode)))
    stream.write(SYNC.pack(b"OKAY", 0))


def give(phone: Phone, stream: Stream, name: bytes) -> None:
    """Sends a file."""
    with phone.path(name).open("rb") as file:
        while block := file.read(BLOCK):
            stream.write(SYNC.pack(b"DATA", len(block)) + block)
    stream.write(SYNC.pack(b"DONE", 0))


def adb(*arguments: str) -> str:
    """Runs the real client; returns what it prints."""
    done = subprocess.run(
        [ADB, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


@contextmanager
def serve(folder: Path) -> Iterator[Phone]:
    """Attaches a stand-in to an adb server of its own, whose files are all in ``folder``.

    Every `adb` that this process starts meanwhile finds that server, and no other phone.
    """
    phone = Phone(folder, folder / "bin", folder / "tmp")
    for path in (phone.bin, phone.tmp, folder / "home"):
        path.mkdir(parents=True)
    port = free_port()
    settings = {
        "ANDROID_ADB_SERVER_PORT": str(port),
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",  # looks for no emulators
        "HOME": str(folder / "home"),  # its keys go there
        "TMPDIR": str(folder / "home"),  # and its log
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        adb("start-server")
        phone.connect()
        yield phone
    finally:
        phone.disconnect()
        adb("kill-server")
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
