"""Sends a file to a host in parts, so that a transfer that broke off goes on where it ended."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.system.hashing import file_hash
from edgekit.targets.devices.hosts import Host

PART = 4 << 20  # bytes that are lost at most
SHORT_S = 120.0  # a slow card hashes 100 MB in less

# What is there of a file: its size, and the hash of it.
_STATE = (
    'test -f "$1" || exit 0; size=$(wc -c <"$1"); hash=$(sha256sum <"$1") || exit 1; '
    'echo "edgekit $size $hash"'
)
_APPEND = 'cat -- "$1" >>"$2" && rm -f -- "$1"'


def send(
    host: Host,
    source: Path,
    folder: str,
    name: str,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Copies a file into a folder of ours on a host, unless it is there already.

    Args:
        host: the device.
        source: the file here.
        folder: of `Host.folder`, where nobody else writes.
        name: what the file is called there.
        progress: is called with the bytes there and in all; what it raises stops the transfer.

    Returns:
        The path there.

    Raises:
        DeviceError: the connection breaks off, or the device has no room.
    """
    target, size = f"{folder}/{name}", source.stat().st_size
    tell = progress or (lambda *_: None)
    if _state(host, folder, target) == (size, file_hash(source)):
        tell(size, size)
        return target
    if size <= PART:
        host.put(source, target)
        tell(size, size)
        return target
    partial = target + ".partial"
    done = _kept(host, folder, partial, source)
    with source.open("rb") as file, tempfile.TemporaryDirectory(prefix="edgekit-") as here:
        file.seek(done)
        part = Path(here) / "part"
        while done < size:
            tell(done, size)
            done += part.write_bytes(file.read(PART))
            host.put(part, target + ".part")
            _do(host, folder, ["sh", "-c", _APPEND, "sh", target + ".part", partial])
    if _state(host, folder, partial) not in ((size, file_hash(source)), None):
        _do(host, folder, ["rm", "-f", "--", partial])
        raise DeviceError(
            f"{source.name} was damaged on its way to {host.name}",
            hint="the same command again",
        )
    _do(host, folder, ["mv", "-f", "--", partial, target])
    tell(size, size)
    return target


def _kept(host: Host, folder: str, partial: str, source: Path) -> int:
    """How many bytes of a file an earlier transfer has left there; others are removed."""
    state = _state(host, folder, partial)
    if state is not None:
        size, digest = state
        with source.open("rb") as file:
            if hashlib.sha256(file.read(size)).hexdigest() == digest:
                return size
    _do(host, folder, ["rm", "-f", "--", partial])
    return 0


def _state(host: Host, folder: str, path: str) -> tuple[int, str] | None:
    """Size and SHA-256 of a file there; None where there is none, or no program that hashes."""
    ran = host.run(["sh", "-c", _STATE, "sh", path], folder, SHORT_S)
    found = re.search(r"^edgekit\s+(\d+)\s+([0-9a-f]{64})\b", ran.text, re.MULTILINE)
    return (int(found[1]), found[2]) if found else None


def _do(host: Host, folder: str, arguments: list[str]) -> None:
    ran = host.run(arguments, folder, SHORT_S)
    if ran.code != 0:
        raise DeviceError(
            f"{host.name} cannot keep a file in {folder}",
            cause=ran.text.strip() or "it did not answer in time",
            hint="free some space there",
        )
