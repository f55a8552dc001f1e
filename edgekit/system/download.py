"""Files from elsewhere: whole and checked under their name, or not there at all.

What arrives is written to ``NAME.part`` and renamed when its length and hash are right. A
download that broke off goes on where it stopped, in the same call or in a later one.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from edgekit.errors import EdgekitError, UsageError
from edgekit.system.console import Progress
from edgekit.system.hashing import file_hash
from edgekit.system.http import CHUNK, Part, Receiver, TransferError, shown
from edgekit.system.paths import StrPath

ENOUGH = 1 << 20  # bytes that an attempt must bring for the count of failures to begin anew


@dataclass(frozen=True)
class Checksum:
    """What a file must hash to.

    Attributes:
        algorithm: ``sha256`` or ``md5``.
        digest: lower-case hexadecimal digits, all or the first few.
        origin: who says so, for messages.
    """

    algorithm: str
    digest: str
    origin: str

    @classmethod
    def parse(cls, text: str, origin: str) -> Checksum:
        """Reads ``sha256:…`` or ``md5:…``."""
        algorithm, _, digest = text.partition(":")
        return cls(algorithm, digest, origin)

    @property
    def complete(self) -> bool:
        """Whether all digits are known, so that no other file can be made to match."""
        return len(self.digest) == {"sha256": 64, "md5": 32}[self.algorithm]

    def matches(self, path: StrPath) -> bool:
        """Hashes a file and compares."""
        path = Path(path)
        return file_hash(path, self.algorithm).startswith(self.digest)


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        timeout: seconds that it may take to answer, be silent, or hardly send anything.
        attempts: how many failures in a row end it; one that brought a megabyte begins the count
            again.
        pause: waits that many seconds between two attempts: 1, 2, 4, …
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: Callable[[float], None] = time.sleep


PATIENCE = Patience()


def is_offline() -> bool:
    """Whether EDGEKIT_OFFLINE forbids the network."""
    return os.environ.get("EDGEKIT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def download(
    url: str,
    path: StrPath,
    *,
    checksum: Checksum | None = None,
    size: int | None = None,
    limit_bytes: int | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> str:
    """Downloads a file, or copies it where the address is a ``file:`` one.

    Hold `locked` around it where another process may want the same file.

    Args:
        url: ``http:``, ``https:`` or ``file:``.
        path: where it shall lie. What lies there is replaced, but by nothing but the right file.
        checksum: what the file must hash to; None takes what comes.
        size: its length in bytes, if that is known for certain.
        limit_bytes: how many bytes it may have at most, if its length is not known.
        progress: told how much has arrived, in megabytes.
        patience: how long the server is waited for.

    Returns:
        The file's SHA-256, in hexadecimal digits.

    Raises:
        UsageError: the address is not one.
        EdgekitError: the file cannot be had, is not the right one, or cannot be written. What has
            arrived of the right file is kept for the next time.
    """
    path = Path(path)
    most = size if size is not None else limit_bytes
    try:
        address = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{url} is not an address", cause=str(error)) from None
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Part(path, url)
        if address.scheme == "file":
            _copy(Path(url2pathname(address.path)), part, most)
            return _finish(part, path, checksum)
        receive = Receiver(url, part, size, most, progress, patience.timeout)
        failures, reached = 0, part.size
        while True:
            try:
                receive()
                return _finish(part, path, checksum)
            except TransferError as problem:
                if problem.unreached and not failures:  # nothing suggests that waiting would help
                    raise EdgekitError(
                        f"cannot reach {problem.unreached}", cause=str(problem)
                    ) from None
                failures = 1 if part.size >= reached + ENOUGH else failures + 1
                reached = max(reached, part.size)
                if failures >= patience.attempts:
                    raise EdgekitError(
                        f"cannot download {shown(url)}",
                        cause=f"{problem}; that was attempt {failures} of {patience.attempts}",
                    ) from None
                patience.pause(max(problem.wait, 2.0 ** (failures - 1)))


def _finish(part: Part, path: Path, checksum: Checksum | None) -> str:
    """Gives a file that is what it should be its name; deletes any other."""
    if checksum is not None and not checksum.matches(part.path):
        found = file_hash(part.path, checksum.algorithm)[: len(checksum.digest)]
        part.drop()
        if part.resumed:
            raise TransferError("the pieces of the file do not fit together")
        raise EdgekitError(
            f"what arrived is not the right {path.name}, and was deleted",
            cause=f"its {checksum.algorithm} is {found}, but {checksum.digest} by "
            f"{checksum.origin}",
        )
    sha256 = file_hash(part.path, "sha256")
    os.replace(part.path, path)
    part.drop()
    return sha256


def _copy(source: Path, part: Part, most: int | None) -> None:
    try:
        reader = source.open("rb")
    except OSError as error:
        raise EdgekitError(f"cannot read {source}", cause=error.strerror) from error
    part.begin("", None)
    with reader, part.path.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            if most is not None and writer.tell() > most:
                part.drop()
                raise EdgekitError(f"{source} has more than {most:,} bytes")


@contextmanager
def locked(
    path: StrPath, progress: Progress | None = None, variable: str = "EDGEKIT_CACHE"
) -> Iterator[None]:
    """Keeps other processes and threads from fetching the same file meanwhile.

    Args:
        path: of the file.
        progress: called where another process has to be waited for.
        variable: of the environment, that names another folder.

    Raises:
        EdgekitError: the folder cannot be written to.
    """
    path = Path(path)
    from filelock import FileLock, Timeout

    with writing(path.parent, variable):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress is not None:
                progress(f"wait for another download of {path.name}", 0, 0)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(folder: StrPath, variable: str = "EDGEKIT_CACHE") -> Iterator[None]:
    """Says plainly what is wrong with the disk.

    Args:
        folder: that is written to.
        variable: of the environment, that names another one.

    Raises:
        EdgekitError: the disk is full, or the folder cannot be written to.
    """
    folder = Path(folder)
    try:
        yield
    except OSError as error:
        cause = f"{error.strerror or error}: {error.filename or folder}"
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise EdgekitError(
                f"the disk with {folder} is full",
                cause=cause,
                hint="free some space: the download goes on where it stopped",
            ) from error
        raise EdgekitError(
            f"cannot write to the folder {folder}",
            cause=cause,
            hint=f"name another folder in the environment variable {variable}",
        ) from error
