"""Puts a folder of files on a host, whole or not at all, over nothing but an older one of ours."""

from __future__ import annotations

import posixpath
import secrets
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from edgekit.errors import DeviceError, UsageError
from edgekit.system.records import decode_record
from edgekit.targets.deploy.model import FORMAT, RECORD
from edgekit.targets.devices.hosts import Host, Ran

SHORT_S = 60.0

# $1 is the folder, $2 the new one, $3 where the old one waits.
_SWAP = """\
if [ -e "$1" ]; then mv -- "$1" "$3" || exit 1; fi
mv -- "$2" "$1" || { [ -e "$3" ] && mv -- "$3" "$1"; exit 1; }
"""
_EXISTS = '[ -e "$1" ] || [ -L "$1" ]'
_REAL_FOLDER = '[ -d "$1" ] && [ ! -L "$1" ]'
_COUNT = 'find "$1" ! -type d -exec printf "x\\n" \\;'

Files = Mapping[str, Path | bytes]


class _Record(Struct, frozen=True):
    """What is read of a folder of ours."""

    format: str
    files: tuple[str, ...]


class Installer:
    """Installs folders on a host.

    Args:
        host: where.
        work: a folder there in which programs run, and which is removed afterwards.
    """

    def __init__(self, host: Host, work: str) -> None:
        self.host, self.work = host, work

    def home(self) -> str:
        """The login folder."""
        ran = self._shell("printf '\\n%s\\n' \"$HOME\"")
        home = (ran.text.strip().splitlines() or [""])[-1]
        if ran.code != 0 or not home.startswith("/"):
            raise DeviceError(f"{self.host.name} has no login folder", cause=ran.text.strip())
        return home

    def refuse_foreign(self, target: str) -> None:
        """Raises UsageError where a folder is in the way that is not ours, or not ours alone."""
        if self._shell(_EXISTS, target).code != 0:
            return
        files = self._files_of(target)
        if files is None:
            raise UsageError(
                f"{target} on {self.host.name} is something else",
                cause="there is no model.json of ours in it",
                hint="choose another folder with --to; nothing was changed",
            )
        more = self._shell(_COUNT, target).text.splitlines().count("x") - len(files)
        if more > 0:
            raise UsageError(
                f"{target} on {self.host.name} holds more than we wrote",
                cause=f"{more} file{'s' * (more != 1)} in it would be lost",
                hint="move them, or choose another folder with --to; nothing was changed",
            )

    def install(self, target: str, files: Files, check: Callable[[str], None]) -> None:
        """Writes a folder beside the target, checks it, and puts it in the target's place.

        Args:
            target: an absolute path there.
            files: what is in it, by relative path.
            check: is given the new folder's path; what it raises leaves the target as it was.

        Raises:
            UsageError: the target is not ours.
            DeviceError: a file cannot be written.
        """
        self.refuse_foreign(target)
        token = secrets.token_hex(4)
        new, old = f"{target}.new-{token}", f"{target}.old-{token}"
        try:
            self._write(new, files)
            check(new)
            self._must(f"{target} cannot be put in place", _SWAP, target, new, old)
        except BaseException:
            with suppress(DeviceError):  # the error that is on its way says more
                self._shell('rm -rf -- "$1"', new)
            raise
        self._must(f"the former folder {old} cannot be removed", 'rm -rf -- "$1"', old)

    def _write(self, folder: str, files: Files) -> None:
        parents = {posixpath.dirname(f"{folder}/{name}") for name in files}
        for parent in sorted(parents | {folder}):
            self._must(f"{parent} cannot be made", 'mkdir -p -- "$1"', parent)
        with tempfile.TemporaryDirectory() as here:
            for name, content in files.items():
                source = content if isinstance(content, Path) else Path(here) / "file"
                if isinstance(content, bytes):
                    source.write_bytes(content)
                self._put(source, f"{folder}/{name}")

    def _put(self, source: Path, target: str) -> None:
        try:
            self.host.put(source, target)
        except OSError as error:
            raise DeviceError(
                f"{target} cannot be written on {self.host.name}",
                cause=error.strerror or str(error),
                hint="is there room on its disk?",
            ) from error

    def _files_of(self, target: str) -> list[str] | None:
        """What we wrote into a folder; None where it is not ours."""
        if self._shell(_REAL_FOLDER, target).code != 0:
            return None
        with tempfile.TemporaryDirectory() as here:
            copy = Path(here) / RECORD
            if not self.host.get(f"{target}/{RECORD}", copy):
                return None
            with suppress(ValueError):
                record = decode_record(copy.read_bytes(), _Record)
                return list(record.files) if record.format == FORMAT else None
            return None

    def _must(self, message: str, script: str, *arguments: str) -> None:
        ran = self._shell(script, *arguments)
        if ran.code != 0:
            raise DeviceError(f"{message} on {self.host.name}", cause=ran.text.strip() or None)

    def _shell(self, script: str, *arguments: str) -> Ran:
        return self.host.run(["sh", "-c", script, "sh", *arguments], self.work, SHORT_S)
